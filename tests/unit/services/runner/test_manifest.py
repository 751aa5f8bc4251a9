"""What a runner believes of a checkpoint's manifest."""

import json
from typing import Any

import pytest

from services.runner import manifest
from services.runner.errors import CheckpointRefused
from services.runner.manifest import Manifest
from shared.events.ids import RunId, SessionId, fresh
from shared.events.values import BlobClass, BlobRef, Usage

BASE, TREE = "a" * 40, "b" * 40


def blob(digit: str = "1", size: int = 10, blob_class: BlobClass = BlobClass.CHECKPOINT) -> BlobRef:
    return BlobRef(blob_class=blob_class, sha256=digit * 64, size_bytes=size)


def whole() -> Manifest:
    return Manifest(
        run_id=RunId(fresh()),
        agent="claude-code",
        session_id=SessionId(fresh()),
        session=(blob("1"), blob("2", 5)),
        base_sha=BASE,
        tree_sha=TREE,
        packs=(blob("3", 7),),
        usage=Usage(cost_usd=0.5, requests=3),
        answers=3,
    )


def test_what_was_written_is_read() -> None:
    written = whole()
    found = manifest.read(written.model_dump_json().encode(), "claude-code", BASE)
    assert found == written
    assert (found.session_bytes, found.pack_bytes) == (15, 7)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"version": 2}, id="a version that is not known"),
        pytest.param({"agent": "codex"}, id="another agent"),
        pytest.param({"base_sha": "c" * 40}, id="another base"),
        pytest.param({"session": []}, id="no session"),
        pytest.param({"session_id": "../../etc/passwd"}, id="a session id that is a path"),
        pytest.param({"session_id": "-" * 36}, id="a session id that is an option"),
        pytest.param({"tree_sha": "HEAD"}, id="a name for a tree"),
        pytest.param({"packs": [blob().model_dump()] * 17}, id="too many packs"),
        pytest.param({"session": [blob().model_dump()] * 257}, id="too many pieces"),
        pytest.param({"packs": [blob(blob_class=BlobClass.WORKSPACE).model_dump()]}, id="a blob of another class"),
        pytest.param({"usage": {"cost_usd": -1}}, id="negative spending"),
        pytest.param({"answers": -1}, id="negative answers"),
        pytest.param({"path": "/etc/cron.d/x"}, id="a field that is not known"),
    ],
)
def test_anything_else_is_refused(changes: dict[str, Any]) -> None:
    document = json.loads(whole().model_dump_json()) | changes
    with pytest.raises(CheckpointRefused):
        manifest.read(json.dumps(document).encode(), "claude-code", BASE)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 50_000])
def test_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointRefused):
        manifest.read(data, "claude-code", BASE)
