"""A run's way out, as the runner sees it: asked for before the sandbox is made, asked after, and closed. No I/O here.

The egress process behind it holds the keys; the runner holds ciphertext and the token it made for this attempt, worth nothing elsewhere.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from services.runner.errors import CredentialMissing, SandboxUnavailable
from shared.events.ids import OwnerId, RunId, Sha256, TaskId
from shared.events.values import CredentialRef, Ecosystem, Usage


@dataclass(frozen=True)
class Place:
    """A host directory in which a door can be opened later: a sandbox that has it mounted already finds the door there."""

    name: str
    directory: Path


@dataclass(frozen=True)
class DoorRequest:
    """Which attempt wants out, with whose key, for how much, and to whom."""

    run_id: RunId
    fence: int
    owner: OwnerId
    task_id: TaskId
    credential: CredentialRef | None
    vendor: str | None
    """Whose model API: the agent's, as its credential is. None: the agent needs no model."""
    max_cost_usd: float
    max_answers: int | None
    """Of the model; None where the agent itself keeps to its turns."""
    place: Place | None = None
    """Where to open it; None: in a place of its own."""
    packages: tuple[Ecosystem, ...] = ()
    """The families of packages that may be read through it."""

    @property
    def leads_out(self) -> bool:
        """Whether there is anything behind it."""
        return self.vendor is not None or bool(self.packages)


@dataclass(frozen=True)
class Door:
    """An open way out: the host directory to mount, the socket in it, and what the agent shows as its key."""

    directory: Path
    socket_name: str
    token: SecretStr


@dataclass(frozen=True)
class Refused:
    """A kind of request the sandbox made and did not get."""

    reason: str
    request_digest: Sha256
    ecosystem: Ecosystem | None = None
    """Whose packages it was about; None: the model's API."""
    host: str | None = None
    """Whom it would have led to, where that was the reason. Agent-written: for the run's output, never for a fact."""


@dataclass(frozen=True)
class Spending:
    """What a door has let through. `upstream_status` is the model API's last error that no success followed; 0 where there is none."""

    usage: Usage = field(default_factory=Usage)
    upstream_status: int = 0
    exhausted: bool = False
    refusals: tuple[Refused, ...] = ()
    trouble: str = ""
    """Why there was no answer of the API's own, where its status does not tell: `unreachable`, `broke_off`, `not_the_api`."""
    silent_seconds: float = 0.0
    """How long the API has let a request under way wait for its next byte by now."""
    answers: int | None = None
    """How often the API has answered; None where no door could be asked."""


class Egress(Protocol):
    """Opens and closes doors."""

    async def open(self, request: DoorRequest) -> Door:
        """A way out for this attempt. Raises CredentialMissing, SandboxUnavailable, or shared.bus.errors.Transient."""
        ...

    async def place(self) -> Place:
        """A place for a door to come. Raises shared.bus.errors.Transient."""
        ...

    async def give_up(self, place: Place) -> None:
        """No door will be opened there."""
        ...

    async def spending(self, run_id: RunId, fence: int) -> Spending:
        """What the attempt has spent so far."""
        ...

    async def close(self, run_id: RunId, fence: int) -> Spending:
        """Closes the door, if it is there; what was spent in all."""
        ...

    async def close_all(self) -> None:
        """At the runner's start: no run is out, so no door is anybody's."""
        ...

    async def sweep(self) -> None:
        """Closes doors and gives up places that could not be when nobody needed them any more: the egress process was away."""
        ...

    async def ready(self) -> None:
        """Raises when no door could be opened."""
        ...


class NullEgress:
    """No way out at all: for deployments whose agents need no model."""

    async def open(self, request: DoorRequest) -> Door:
        """See Egress."""
        if request.vendor is None:
            raise SandboxUnavailable("this runner has no egress process, which alone reaches packages")
        raise CredentialMissing(f"run {request.run_id} needs a model, and this runner has no egress process")

    async def place(self) -> Place:
        """See Egress."""
        raise CredentialMissing("this runner has no egress process")

    async def give_up(self, place: Place) -> None:
        """See Egress: there is none."""

    async def spending(self, run_id: RunId, fence: int) -> Spending:
        """See Egress."""
        del run_id, fence
        return Spending()

    async def close(self, run_id: RunId, fence: int) -> Spending:
        """See Egress."""
        return await self.spending(run_id, fence)

    async def close_all(self) -> None:
        """See Egress."""

    async def sweep(self) -> None:
        """See Egress."""

    async def ready(self) -> None:
        """See Egress."""
