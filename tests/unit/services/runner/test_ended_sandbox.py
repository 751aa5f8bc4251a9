"""What the engine says of a sandbox that has ended decides whether another attempt is made."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from services.runner.docker_engine import DockerEngine
from services.runner.docker_sandbox import DockerSandbox, Made
from services.runner.docker_stream import Endpoint, ProcessStream
from services.runner.errors import SandboxGone, SandboxOutOfMemory, SandboxUnavailable
from services.runner.runtime import Runtime
from services.runner.sandbox import SandboxSpec
from shared.events import ids
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits


class EndedContainer:
    """An engine whose one container runs no more."""

    endpoint = Endpoint("unix:///nowhere")

    def __init__(self, *, out_of_memory: bool) -> None:
        self._state = {"Running": False, "OOMKilled": out_of_memory}

    async def call(self, function: Callable[[Any], Any]) -> Any:
        return function(self)

    async def keep_last_words(self, *_about: str) -> None: ...

    def exec_create(self, *_about: object, **_more: object) -> None:
        raise SandboxUnavailable("Container is not running")

    def inspect_container(self, _container: str) -> dict[str, Any]:
        return {"State": self._state}


@pytest.mark.parametrize(("out_of_memory", "raised"), [(False, SandboxGone), (True, SandboxOutOfMemory)])
async def test_one_that_ran_out_of_memory_is_no_engines_fault(out_of_memory: bool, raised: type[Exception]) -> None:
    spec = SandboxSpec(RunId(ids.fresh()), 1, OwnerId(ids.fresh()), TaskId(ids.fresh()), "image", Limits(), 1, 1)
    engine = cast("DockerEngine", EndedContainer(out_of_memory=out_of_memory))
    with pytest.raises(raised):
        await DockerSandbox(engine, Made("c", "sha256:0", Runtime()), cast("ProcessStream", None), spec).condition()
