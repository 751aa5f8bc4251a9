"""Small messages for tests of the bus."""

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
