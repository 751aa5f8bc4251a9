"""What each user can do and what is denied, asked of the real server: permissions are only what the server makes of them.

A denial reaches the client apart from the call; when the server has seen the call it has arrived, or there is none.
"""

import json
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from deploy.nats import topology
from shared.bus.client import Listeners, flushed, open_client
from shared.bus.streams import API, Mirror, Stream
from tests.servers.nats import NatsServer

CONSUMER_API = f"{API}.CONSUMER"

MAY_PUBLISH = {
    "gateway": [
        "cmd.scheduler.submit.-.-",
        "evt.project.created.-.-",
        "evt.credential.opened.-.-",
        "evt.token.created.-.-",
        "rpc.audit.entries",
        "dlq.gateway.x.-.-",
    ],
    "scheduler": ["cmd.git.prepare.-.-", "cmd.runner.start.-.-", "evt.task.queued.-.-", "$KV.fate.r", "dlq.runner.start.-.-"],
    "git": [
        "evt.workspace.prepared.-.-",
        "evt.change.published.-.-",
        "evt.pull_request.opened.-.-",
        "blob.workspace.x.0",
        "blob.changes.x.0",
    ],
    "runner": ["evt.run.started.-.-", "evt.egress.refused.-.-", "out.o.t.r", "$KV.lease.r", "blob.result.x.0", "blob.checkpoint.x.0"],
    "ops": ["cmd.git.prepare.-.-", f"{API}.STREAM.LIST"],
}
MAY_NOT_PUBLISH = {
    "gateway": ["cmd.git.publish.-.-", "cmd.runner.start.-.-", "evt.task.queued.-.-", "evt.run.finished.-.-", "$KV.fate.r", "$KV.lease.r"],
    "scheduler": ["cmd.scheduler.submit.-.-", "evt.run.finished.-.-", "evt.change.published.-.-", "$KV.lease.r", "out.o.t.r"],
    "git": ["cmd.runner.start.-.-", "evt.run.finished.-.-", "evt.task.succeeded.-.-", "blob.result.x.0", "$KV.lease.r", "dlq.runner.x.-.-"],
    "runner": ["cmd.git.publish.-.-", "evt.change.published.-.-", "evt.task.succeeded.-.-", "$KV.fate.r", "blob.workspace.x.0"],
    "audit": ["cmd.scheduler.submit.-.-", "evt.task.queued.-.-", "rpc.gateway.run_input"],
    "ops": ["evt.task.queued.-.-", "dlq.git.x.-.-", "$KV.fate.r", "$KV.lease.r", "out.o.t.r", "rpc.gateway.run_input"],
}
QUESTIONS = {
    "rpc.gateway.run_input": {"runner"},
    "rpc.gateway.workspace_source": {"git"},
    "rpc.gateway.publication": {"git"},
    "rpc.gateway.sealed_credential": {"git", "runner"},
    "rpc.audit.entries": {"gateway"},
    "rpc.audit.checkpoint": {"gateway"},
}
READERS = {
    Stream.CMD: {"scheduler", "ops"},
    Stream.EVT: {"gateway", "scheduler", "git", "runner", "ops"},
    Stream.OUT: {"gateway"},
    Stream.SCHED: set[str](),
    Stream.DLQ: {"ops"},
    Stream.ADV: {"ops"},
    Stream.BLOB_WORKSPACE: {"git", "runner"},
    Stream.BLOB_RESULT: {"git"},
    Stream.BLOB_CHECKPOINT: {"git", "runner"},
    Stream.BLOB_TRANSCRIPT: {"gateway"},
    Stream.BLOB_CHANGES: {"gateway"},
    Stream.KV_LEASE: {"runner"},
    Stream.KV_FATE: {"runner"},
}
PULLERS = {
    ("CMD", "scheduler"): {"scheduler"},
    ("CMD", "git"): {"git"},
    ("CMD", "runner"): {"runner"},
    ("EVT", "scheduler"): {"scheduler"},
    ("EVT", "gateway"): {"gateway"},
    ("ADV", "dead-letters"): {"scheduler"},
    **{(str(mirror), "audit"): set[str]() for mirror in Mirror},
}
SERVICES = ["gateway", "scheduler", "git", "runner", "audit", "ops"]
EVERYBODY = [user.name for user in topology.USERS]


class Probe:
    """A user's connection that knows what it was denied."""

    def __init__(self) -> None:
        self.client = Client()
        self._denied: list[str] = []

    @classmethod
    async def connect(cls, server: NatsServer, user: str) -> "Probe":
        probe = cls()

        async def note(error: Exception) -> None:
            probe._denied.append(str(error))

        probe.client = await open_client(
            url=server.url,
            user=user,
            nkey_file=server.rendered.seed_file(user),
            ca_file=None,
            deadline_seconds=10,
            listeners=Listeners(error=note),
        )
        return probe

    async def may_publish(self, subject: str, payload: bytes = b"", reply: str = "") -> bool:
        self._denied.clear()
        await self.client.publish(subject, payload, reply=reply)
        await flushed(self.client)
        return not self._denied

    async def may_subscribe(self, subject: str) -> bool:
        self._denied.clear()
        subscription = await self.client.subscribe(subject)  # pyright: ignore[reportUnknownMemberType]
        await flushed(self.client)
        allowed = not self._denied
        if allowed:
            await subscription.unsubscribe()
        return allowed


@pytest.fixture
async def probes(nats_server: NatsServer) -> AsyncIterator[dict[str, Probe]]:
    """Every user, connected."""
    connected = {user: await Probe.connect(nats_server, user) for user in EVERYBODY}
    yield connected
    for probe in connected.values():
        await probe.client.close()


async def test_subjects(probes: dict[str, Probe]) -> None:
    for user in SERVICES:
        probe = probes[user]
        for subject in MAY_PUBLISH.get(user, []):
            assert await probe.may_publish(subject), (user, subject)
        for subject in MAY_NOT_PUBLISH[user]:
            assert not await probe.may_publish(subject), (user, subject)
        for subject, askers in QUESTIONS.items():
            assert await probe.may_publish(subject) == (user in askers), (user, subject)


async def test_reading_and_pulling(probes: dict[str, Probe]) -> None:
    for user in EVERYBODY:
        probe = probes[user]
        for stream, readers in READERS.items():
            assert await probe.may_publish(f"{API}.DIRECT.GET.{stream}", b'{"seq": 1}') == (user in readers), (user, stream)
            assert not await probe.may_publish(f"$JS.API.DIRECT.GET.{stream}"), (user, stream)
            assert not await probe.may_publish(f"{API}.STREAM.MSG.GET.{stream}"), (user, stream)
        for (stream, durable), pullers in PULLERS.items():
            assert await probe.may_publish(f"{CONSUMER_API}.MSG.NEXT.{stream}.{durable}") == (user in pullers), (user, durable)
            assert await probe.may_publish(f"$JS.ACK.{stream}.{durable}.1.1.1.1.0") == (user in pullers), (user, durable)


async def test_inboxes_and_subscriptions(probes: dict[str, Probe]) -> None:
    for user in EVERYBODY:
        probe = probes[user]
        for other in EVERYBODY:
            assert await probe.may_subscribe(f"_INBOX_{other}.>") == (other == user), (user, other)
        for subject, listeners in {
            "_INBOX.>": set[str](),
            ">": set[str](),
            "$JS.>": set[str](),
            "rpc.>": set[str](),
            "audit.deliver.>": set[str](),
            "out.>": {"gateway"},
            "evt.>": {"gateway", "ops"},
            "cmd.>": {"ops"},
            "$KV.fate.>": {"runner"},
            "rpc.gateway.>": {"gateway"},
            "rpc.audit.>": {"audit"},
        }.items():
            assert await probe.may_subscribe(subject) == (user in listeners), (user, subject)


async def test_nobody_but_provisioners_creates_and_nobody_deletes(probes: dict[str, Probe]) -> None:
    for user in SERVICES:
        probe = probes[user]
        for call in (
            "STREAM.CREATE.X",
            "STREAM.UPDATE.CMD",
            "CONSUMER.CREATE.CMD.forged",
            "CONSUMER.CREATE.CMD",
            "CONSUMER.DURABLE.CREATE.CMD.forged",
        ):
            for api in ("$JS.API", "APPJS.API", API):
                assert not await probe.may_publish(f"{api}.{call}"), (user, call)


async def test_nobody_deletes(probes: dict[str, Probe]) -> None:
    for user in EVERYBODY:
        probe = probes[user]
        for call in (
            "STREAM.DELETE.CMD",
            "STREAM.PURGE.CMD",
            "STREAM.MSG.DELETE.CMD",
            "STREAM.SNAPSHOT.CMD",
            "STREAM.RESTORE.CMD",
            "CONSUMER.DELETE.CMD.git",
            "CONSUMER.PAUSE.CMD.git",
            "CONSUMER.UNPIN.CMD.git",
            "CONSUMER.RESET.CMD.git",
        ):
            for api in ("$JS.API", "APPJS.API", API):
                assert not await probe.may_publish(f"{api}.{call}"), (user, call)


async def test_a_forged_consumer_is_not_there(probes: dict[str, Probe]) -> None:
    """The attack of the verified facts: a push consumer that delivers to a question's subject."""
    runner, ops = probes["runner"], probes["ops"]
    forged = {"stream_name": "EVT", "config": {"name": "forged", "deliver_subject": "rpc.gateway.run_input", "ack_policy": "none"}}
    with pytest.raises(NatsError):
        await runner.client.request(f"{CONSUMER_API}.CREATE.EVT.forged", json.dumps(forged).encode(), timeout=0.5)
    names = json.loads((await ops.client.request(f"{CONSUMER_API}.NAMES.EVT", timeout=5)).data)["consumers"]
    assert "forged" not in names


async def test_a_reply_subject_cannot_ack_for_another(probes: dict[str, Probe]) -> None:
    """The server refuses `$JS.ACK` as a reply subject, so a Direct Get cannot be made to ack."""
    runner = probes["runner"]
    assert not await runner.may_publish(f"{API}.DIRECT.GET.{Stream.EVT}", b'{"seq": 1}', reply="$JS.ACK.CMD.git.1.1.1.1.0")


async def test_the_audit_account_does_not_see_the_applications_streams(probes: dict[str, Probe]) -> None:
    audit = probes["provisioner-audit"]
    answer = json.loads((await audit.client.request("$JS.API.STREAM.INFO.CMD", timeout=5)).data)
    assert answer["error"]["code"] == 404
    application = probes["provisioner"]
    answer = json.loads((await application.client.request(f"$JS.API.STREAM.INFO.{Mirror.CMD}", timeout=5)).data)
    assert answer["error"]["code"] == 404
