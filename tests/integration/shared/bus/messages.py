"""Small messages for tests of the bus."""

from shared.bus import Bus
from shared.bus.client import flushed
from shared.events import commands, envelope, facts, ids
from shared.events.envelope import AnyEnvelope
from shared.events.ids import RepositoryId, RunId
from shared.events.values import Fate


def prepare() -> AnyEnvelope:
    """A command for git."""
    payload = commands.GitPrepare(repository_id=RepositoryId(ids.fresh()))
    return envelope.new(payload, source="scheduler", owner=ids.fresh(), task=ids.fresh())


def queued() -> AnyEnvelope:
    """A fact of the scheduler."""
    return envelope.new(facts.TaskQueued(), source="scheduler", owner=ids.fresh(), task=ids.fresh())


def run_id() -> RunId:
    """A run."""
    return RunId(ids.fresh())


def fate(value: Fate) -> bytes:
    """As the scheduler's outbox writes it."""
    return b'{"fate": "%s"}' % value.encode()


MALFORMED = [
    b"x",
    b"\r\n\r\n",
    b"NATS/1.0\r\nX: y",
    b"NATS/1.0\r\nX: \xff\r\n\r\n",
    b"NATS/1.0 \xff\xff\xff x\r\nX: y\r\n\r\n",
    b"NATS/1.0 204\r\n\r\n",
]
"""Headers that no client library would send, and the server stores."""


async def raw(bus: Bus, subject: str, header: bytes, data: bytes) -> None:
    """Send a message with exactly these bytes as its header."""
    line = f"HPUB {subject} {len(header)} {len(header) + len(data)}\r\n".encode()
    await bus.nats._send_command(line + header + data + b"\r\n")  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]  # noqa: SLF001
    await flushed(bus.nats)
