"""After the server started: the streams and consumers of the topology, created or brought up to date.

Run it again at any time. It deletes nothing: what would lose messages, or offer executed commands again, is refused with the reason,
and a person decides. Streams and consumers that the topology does not know are left alone.
"""

import argparse
import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from deploy.nats import topology
from deploy.nats.api import Answer, Api
from deploy.nats.configs import consumer_config, stream_config
from deploy.nats.render import DEFAULT_STORE_BYTES
from deploy.nats.rooms import Room, Rooms, parse
from deploy.nats.topology import Account, ConsumerSpec, StreamSpec
from shared.bus.streams import Stream


@dataclass(frozen=True, kw_only=True)
class ApplySettings:
    """Where the server is, and the keys of its two provisioners."""

    url: str
    state: Path
    """As given to `render`."""
    store_bytes: int = DEFAULT_STORE_BYTES
    rooms: Rooms = field(default_factory=dict[str, Room])
    """What an operator gave for single streams."""
    replicas: int = 1
    ca_file: Path | None = None
    deadline_seconds: float = 30


class MirrorStands(Exception):
    """A mirror does not follow its origin: what happens now would be missing in the trail."""


class DestructiveDrift(Exception):
    """The server differs from the topology in a way that cannot be mended without losing or repeating something."""


PROVISIONERS = {Account.APP: "provisioner", Account.AUDIT: "provisioner-audit"}
"""Who creates, and may look at, the streams of an account."""

_POLL_SECONDS = 0.05

_FIXED = ("retention", "storage", "mirror", "allow_msg_schedules", "allow_msg_ttl")
"""What the server cannot change, or only by forgetting what it holds."""


async def apply(settings: ApplySettings) -> None:
    """Bring APP, then AUDIT's mirrors, to what the topology says.

    Raises BusUnreachable, NotAuthorized, ApiRefused, DestructiveDrift, MirrorStands.
    """
    # What becomes smaller goes first: every stream reserves its room, and the server refuses what all of them together have not.
    for account in PROVISIONERS:
        async with _provisioner(account, settings) as api:
            await _streams(api, account, settings, only_smaller=True)
    for account in PROVISIONERS:
        async with _provisioner(account, settings) as api:
            await _streams(api, account, settings)
            if account is Account.APP:
                for consumer in topology.CONSUMERS:
                    await _consumer(api, consumer)
            else:
                await _mirrors_follow(api, settings.deadline_seconds)


@asynccontextmanager
async def _provisioner(account: Account, settings: ApplySettings) -> AsyncGenerator[Api]:
    user = PROVISIONERS[account]
    seed = settings.state / "nkeys" / f"{user}.nk"
    api = await Api.connect(settings.url, user, seed, settings.ca_file, settings.deadline_seconds)
    try:
        yield api
    finally:
        await api.close()


async def _streams(api: Api, account: Account, settings: ApplySettings, *, only_smaller: bool = False) -> None:
    for spec in topology.STREAMS:
        if spec.account is account:
            await _stream(api, spec, settings, only_smaller=only_smaller)


async def _stream(api: Api, spec: StreamSpec, settings: ApplySettings, *, only_smaller: bool) -> None:
    wanted = stream_config(spec, settings.store_bytes, settings.rooms, settings.replicas)
    info = await api.find(f"STREAM.INFO.{spec.name}")
    if info is None:
        if not only_smaller:
            await api.call(f"STREAM.CREATE.{spec.name}", wanted)
        return
    drift = differences(wanted, info["config"])
    if only_smaller and cast("int", wanted["max_bytes"]) >= info["config"]["max_bytes"]:
        return
    if drift:
        refuse_loss(spec, wanted, info, drift)
        await api.call(f"STREAM.UPDATE.{spec.name}", info["config"] | wanted)


async def _mirrors_follow(api: Api, deadline_seconds: float) -> None:
    """Return when every mirror has heard from its origin: only from then on does an acked command wait for its mirror."""
    for spec in topology.STREAMS:
        if spec.mirror_of is None:
            continue
        try:
            async with asyncio.timeout(deadline_seconds):
                while not _follows((await api.call(f"STREAM.INFO.{spec.name}"))["mirror"]):  # noqa: ASYNC110 - the server tells nobody
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError as error:
            raise MirrorStands(f"{spec.name} hears nothing from {spec.mirror_of}; look at the server's log") from error


def _follows(mirror: Answer) -> bool:
    return mirror.get("active", -1) >= 0 and "error" not in mirror


def differences(wanted: dict[str, object], actual: dict[str, object]) -> list[str]:
    """The fields in which the server's configuration is not the wanted one; the server leaves out what is false or empty."""
    return [field for field, value in wanted.items() if not _same(value, actual.get(field))]


def _same(wanted: object, actual: object) -> bool:
    if isinstance(wanted, dict) and isinstance(actual, dict):
        return not differences(cast("dict[str, object]", wanted), cast("dict[str, object]", actual))
    return wanted == actual or (not wanted and not actual)


def refuse_loss(spec: StreamSpec, wanted: dict[str, Any], info: Answer, drift: list[str]) -> None:
    """Raise DestructiveDrift where an update would drop messages or is impossible."""
    actual, held = info["config"], info["state"]
    reasons = [f"{field} is {actual.get(field)!r}, wanted {wanted[field]!r}" for field in drift if field in _FIXED]
    if held["messages"]:
        if "max_bytes" in drift and wanted["max_bytes"] < held["bytes"]:
            reasons.append(f"it holds {held['bytes']} bytes, wanted at most {wanted['max_bytes']}")
        if "max_age" in drift and 0 < wanted["max_age"] < _age_nanoseconds(held):
            reasons.append(f"it holds messages since {held['first_ts']}, which the shorter max_age would drop")
        if "max_msgs_per_subject" in drift:
            reasons.append("a lower max_msgs_per_subject would drop messages")
        if lost := set(actual.get("subjects") or ()) - set(wanted.get("subjects") or ()):
            reasons.append(f"subjects {sorted(lost)} would be stored no more")
    if reasons:
        raise DestructiveDrift(f"stream {spec.name}: {'; '.join(reasons)}. Wait until it holds less, copy it by hand, or undo the change.")


def _age_nanoseconds(held: Answer) -> float:
    """How old the oldest message is, with a minute to spare for the time until the change. The server writes nine digits of a second."""
    first = datetime.fromisoformat(held["first_ts"].partition(".")[0].removesuffix("Z")).replace(tzinfo=UTC)
    return (datetime.now(UTC) - first + timedelta(minutes=1)).total_seconds() * 10**9


async def _consumer(api: Api, spec: ConsumerSpec) -> None:
    wanted = consumer_config(spec)
    info = await api.find(f"CONSUMER.INFO.{spec.stream}.{spec.durable}")
    if info is None:
        await _refuse_repetition(api, spec)
        action = "create"
    elif drift := differences(wanted, info["config"]):
        fixed = [field for field in drift if field in {"deliver_policy", "ack_policy", "replay_policy"}]
        if fixed:
            raise DestructiveDrift(f"consumer {spec.durable} of {spec.stream} differs in {fixed}, which the server cannot change.")
        action = "update"
    else:
        return
    await api.call(
        f"CONSUMER.CREATE.{spec.stream}.{spec.durable}" + (f".{spec.filters[0]}" if len(spec.filters) == 1 else ""),
        {"stream_name": spec.stream, "config": wanted, "action": action},
    )


async def _refuse_repetition(api: Api, spec: ConsumerSpec) -> None:
    """A new consumer on CMD would offer what the stream still holds again, executed or not (verified: 6,000 commands)."""
    if spec.stream is not Stream.CMD:
        return
    info = await api.call(f"STREAM.INFO.{spec.stream}")
    if info["state"]["messages"]:
        raise DestructiveDrift(
            f"consumer {spec.durable} of CMD is gone while CMD holds {info['state']['messages']} messages: a new one would offer executed "
            "commands again. Look at what CMD holds, and create the consumer by hand when that is safe."
        )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.nats.apply", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--store-bytes", type=int, default=DEFAULT_STORE_BYTES)
    parser.add_argument("--rooms", type=parse, default={}, help='for single streams: {"EVT": {"mib": 4096, "days": 60}}')
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--ca-file", type=Path)
    parser.add_argument("--deadline-seconds", type=float, default=30)
    asyncio.run(apply(ApplySettings(**vars(parser.parse_args()))))
    print("applied")


if __name__ == "__main__":
    main()
