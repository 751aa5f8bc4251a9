"""Work that is made to be too much for git: it ends its own command, and keeps nobody else's waiting."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.git.command import MIB
from services.git.handlers import Measures, TryAgain
from shared.events.facts import ChangeFailed, ChangePrepared, ChangePublished
from shared.events.values import BlobClass
from tests.integration.services.git.attack import TREE, entry, object_sha, sealed
from tests.integration.services.git.test_handlers import BRANCH, Desk, make_desk
from tests.servers.git import GitServer

DeskWith = Callable[[Callable[[Measures], Measures]], Desk]


@pytest.fixture
def desk_with(tmp_path: Path, server: GitServer) -> DeskWith:
    return lambda changed: make_desk(tmp_path, server, changed)


def swell(work: Path) -> None:
    """64 MiB that a pack holds in a few kilobytes."""
    (work / "big").write_bytes(b"\0" * (64 * MIB))


async def test_a_file_too_large_for_a_patch_is_published_without_one(desk_with: DeskWith) -> None:
    desk = desk_with(lambda measures: replace(measures, sizes=replace(measures.sizes, memory_bytes=110 * MIB)))
    prepared, published = await desk.run(await desk.worked(swell))
    assert isinstance(prepared, ChangePrepared)
    assert "too much memory" in desk.blobs.path(prepared.patch).read_text()
    assert isinstance(published, ChangePublished)


async def test_work_that_takes_too_long_to_show_ends_the_command_at_once(desk_with: DeskWith) -> None:
    """A dead letter would have the scheduler send it again: a few such changes could hold every slot of the service for hours."""
    desk = desk_with(lambda measures: replace(measures, sizes=replace(measures.sizes, timeout_seconds=0.0)))
    (failed,) = await desk.run(await desk.worked(swell))
    assert isinstance(failed, ChangeFailed)
    assert failed.failure.code == "result_too_large"


async def test_work_that_git_fails_at_is_tried_again_and_then_at_fault(desk_with: DeskWith) -> None:
    desk = desk_with(lambda measures: replace(measures, sizes=replace(measures.sizes, memory_bytes=4 * MIB)))
    publish = await desk.worked(swell)
    with pytest.raises(TryAgain):
        await desk.run(publish)
    (failed,) = await desk.run(publish, deliveries=4)
    assert isinstance(failed, ChangeFailed)
    assert failed.failure.code == "pack_refused"


async def test_what_is_refused_is_named_in_the_log_and_kept_as_evidence(desk_with: DeskWith) -> None:
    desk = desk_with(lambda measures: measures)
    honest = await desk.worked(lambda work: (work / "README.md").unlink())
    content = b"40000 .GIT\0" + bytes.fromhex(object_sha("tree", b""))
    evil = await desk.blobs.put_bytes(BlobClass.RESULT, sealed([entry(TREE, b""), entry(TREE, content)]))
    with capture_logs() as logs:
        (failed,) = await desk.run(honest.model_copy(update={"result": evil, "tree_sha": object_sha("tree", content)}))
    assert isinstance(failed, ChangeFailed)
    assert (failed.failure.failure_class, failed.failure.code) == ("rejected_content", "pack_refused")
    (refused,) = (line for line in logs if line["event"] == "command_refused")
    assert (refused["code"], refused["detail"]) == ("pack_refused", "git refused the pack: hasDotgit")
    assert desk.blobs.path(evil).is_file()
    assert desk.server.branch("demo", BRANCH) is None
