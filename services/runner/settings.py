"""The runner's variables."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from shared.events.values import Protection

_SLOTS_PER_CORE = 2  # agents wait for their model most of the time


def _listed(given: object) -> object:
    return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given


class RunnerSettings(BaseSettings):
    """Read once, at start: `RUNNER_…`, `STATE_DIR` and `DOCKER_HOST`."""

    model_config = SettingsConfigDict(env_prefix="RUNNER_", frozen=True, populate_by_name=True)

    state_dir: Annotated[Path, Field(validation_alias="STATE_DIR")]
    """Its own: the runner's identity, and work on its way in and out."""
    docker_host: Annotated[str, StringConstraints(pattern=r"^(unix:///|tcp://)"), Field(validation_alias="DOCKER_HOST")] = (
        "unix:///var/run/docker.sock"
    )
    deployment: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")] = "default"
    """Which sandboxes on this Docker host are ours."""
    slots: Annotated[int, Field(ge=1, le=256)] = _SLOTS_PER_CORE * (os.cpu_count() or 1)
    """How many agents run at a time."""
    warm: Annotated[int, Field(ge=0, le=64)] = 2
    """How many sandboxes of each kind in use are made beforehand; 0 for none."""
    warm_total: Annotated[int, Field(ge=0, le=256)] = _SLOTS_PER_CORE * (os.cpu_count() or 1)
    """How many of all kinds together."""
    lease_ttl_seconds: Annotated[int, Field(ge=2, le=600)] = 20
    """How long a dead runner's run waits for the next one, at most."""
    images: dict[str, str] = {}
    """Agent → image, as JSON; `async-code/<agent>:current` where an agent is not named."""
    runtime: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "runc"
    """The engine's runtime: `runsc` for gVisor."""
    apparmor_profile: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    """A profile that is loaded on the engine's host, which every sandbox must then have; empty: the engine's own, where there is one."""
    allow_missing: Annotated[frozenset[Protection], NoDecode, BeforeValidator(_listed)] = frozenset()
    """Required walls that this engine lacks and sandboxes go without, separated by commas."""
    keep_images: Annotated[int, Field(ge=1)] | None = None
    """How many images of each agent stay on this Docker host beside those in use; without it none is ever removed."""
    egress_socket: Path | None = None
    """The egress process's control socket. Without one only agents that need no model run here."""
    max_result_mib: Annotated[int, Field(ge=1, le=512)] = 256
    max_output_mib: Annotated[int, Field(ge=1, le=56)] = 48
    """What is kept of an agent's output; the transcript has to fit a blob of 64 MiB."""
    max_checkpoints_mib: Annotated[int, Field(ge=1)] = 512
    """What one attempt's checkpoints may take of the blob store together; beyond, only the last is taken: with it a run waits or moves."""
    checkpoint_seconds: Annotated[float, Field(ge=1, le=3_600)] = 60
    """A checkpoint is taken so often at least."""
    checkpoint_turn_seconds: Annotated[float, Field(ge=0, le=3_600)] = 10
    """And after a turn of the agent, but not sooner than this after the last one."""
    environment_images: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Patterns (`*`, `?`) of images that a project may name in place of its agent's, separated by commas; none by default."""
    environments_mib: Annotated[int, Field(ge=0)] = 4_096
    """How much of what set-up scripts made is kept on this runner's disk; the newest always is."""
    max_environment_mib: Annotated[int, Field(ge=1, le=16_384)] = 1_024
    """The most that the directories of one environment may hold."""
    store_wait_seconds: Annotated[float, Field(ge=0)] = 240
    """How long what came out of a run waits for room in the blob store."""

    def image(self, agent: str) -> str:
        """The image an agent runs in."""
        return self.images.get(agent, f"async-code/{agent}:current")
