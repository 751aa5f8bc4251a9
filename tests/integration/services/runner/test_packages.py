"""`pip install` inside a real sandbox, through the run's door, from a registry over TLS; and what is refused there."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.events.facts import EgressRefused, RunFinished
from shared.events.values import Ecosystem
from tests.integration.services.runner.inside import SMALL
from tests.integration.services.runner.snapshots import Snapshot
from tests.integration.services.runner.stage import Stage, in_process
from tests.servers.authority import Authority
from tests.servers.egress import EgressProcess
from tests.servers.registry import Registry


@pytest.fixture
def short_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ac-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
async def egress(tmp_path: Path, short_path: Path) -> AsyncIterator[EgressProcess]:
    registry = Registry(Authority(tmp_path))
    await registry.start()
    process = EgressProcess(short_path, "https://127.0.0.1:1", more=registry.settings())
    await process.start()
    yield process
    process.stop()
    await registry.stop()


INSTALL = """
python3 -m pip install --quiet demo && python3 -c 'import demo; print("installed", demo.VERSION)'
python3 -m venv /tmp/own && /tmp/own/bin/pip install --quiet demo && /tmp/own/bin/python -c 'import demo; print("and in its own place")'
cat ~/.npmrc | grep -c 8090 && exit 1 || echo "npm knows of nothing"
python3 - <<'END'
import urllib.error, urllib.request
for method, path in (("GET", "npm/demo"), ("PUT", "pip/simple/demo/")):
    try:
        urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:8090/packages/" + path, method=method))
    except urllib.error.HTTPError as error:
        print(error.code, error.read().decode().strip())
END
echo made > readme.md
"""


async def test_what_the_project_allows_is_installed_and_the_rest_is_a_fact(
    stage: Stage, egress: EgressProcess, small_snapshot: Snapshot, tmp_path: Path, shell_image: str
) -> None:
    async with in_process(stage, tmp_path / "runner", shell_image, egress_socket=egress.control):
        command = await stage.command(small_snapshot, INSTALL, SMALL.model_copy(update={"disk_mib": 256}), packages=(Ecosystem.PIP,))
        ended = await stage.ending(command)
        said = "\n".join(line.event.text for line in await stage.output(command))
        assert isinstance(ended, RunFinished), said
        told = ("Refused at the door: npm packages, ecosystem_denied.", "Refused at the door: pip packages, method_denied.")
        for line in ("installed 1.0", "and in its own place", "npm knows of nothing", "ecosystem_denied", "method_denied", *told):
            assert line in said
        refused = [fact.data for fact in await stage.facts(command) if isinstance(fact.data, EgressRefused)]
        assert {(fact.reason, fact.ecosystem) for fact in refused} == {
            ("ecosystem_denied", Ecosystem.NPM),
            ("method_denied", Ecosystem.PIP),
        }
        command = await stage.command(small_snapshot, "test ! -e /run/egress/model.sock; ! python3 -m pip download demo 2>/dev/null")
        assert isinstance(await stage.ending(command), RunFinished)
        left = [path.name for path in (egress.directory / "sockets").iterdir()]
        assert all(name.startswith("place-") for name in left), "no door but those that warm sandboxes wait for"
