"""What must hold of the topology whatever is added to it."""

from pathlib import Path

from deploy.nats import topology
from deploy.nats.configs import consumer_config, stream_config
from deploy.nats.topology import Account
from shared.blobs.chunks import CHUNK_BYTES, MAX_BYTES
from shared.bus.streams import API, Durable, Mirror, Stream, blob_stream
from shared.events.values import BlobClass

README = Path(topology.__file__).with_name("README.md")


def test_the_streams_together_fit_the_store() -> None:
    assert sum(stream.per_mille for stream in topology.STREAMS) <= 1_000


def test_every_name_has_its_stream_and_every_stream_its_name() -> None:
    assert {stream.name for stream in topology.STREAMS} == {*Stream, *Mirror}


def test_every_class_of_blobs_has_a_stream_and_a_cap() -> None:
    assert {blob_stream(blob_class) for blob_class in BlobClass} <= set(Stream)
    assert set(MAX_BYTES) == set(BlobClass)
    assert CHUNK_BYTES < 1024 * 1024


def test_nothing_stored_can_be_deleted_purged_or_rolled_up() -> None:
    for stream in topology.STREAMS:
        config = stream_config(stream, 10**9, {}, 1)
        assert (config["deny_delete"], config["deny_purge"], config["allow_rollup_hdrs"]) == (True, True, False)
        assert config["allow_direct"]


def test_only_provisioners_may_create_and_nobody_may_take_a_wildcard_of_the_api() -> None:
    for user in topology.USERS:
        creates = [subject for subject in user.publish if "CREATE" in subject or "UPDATE" in subject]
        assert bool(creates) == user.provisions == user.name.startswith("provisioner")
        assert not {">", "$JS.>", "$JS.API.>", f"{API}.>", "$JS.ACK.>", "_INBOX.>"} & {*user.publish, *user.subscribes}
        assert not [subject for subject in user.publish if "DELETE" in subject or "PURGE" in subject]


def test_every_durable_is_pulled_by_exactly_one_user() -> None:
    for consumer in topology.CONSUMERS:
        call = f"{API}.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.durable}"
        assert [user.name for user in topology.USERS if call in user.publish] != []
        assert len([user.name for user in topology.USERS if call in user.publish]) == 1


def test_every_command_subject_belongs_to_one_durable() -> None:
    filters = [consumer.filters for consumer in topology.CONSUMERS if consumer.stream is Stream.CMD]
    assert filters == [("cmd.scheduler.>",), ("cmd.git.>",), ("cmd.runner.>",)]


def test_whoever_creates_lives_beside_the_streams_and_everybody_else_in_an_account_of_their_own() -> None:
    homes = [user.home for user in topology.USERS]
    assert len(set(homes)) == len(homes)
    assert {user.home for user in topology.USERS if user.provisions} == {Account.APP, Account.AUDIT}
    assert {user.name for user in topology.USERS if user.account is Account.AUDIT} == {"audit", "provisioner-audit"}
    assert set(topology.mirrored()) == {Stream.CMD, Stream.EVT, Stream.DLQ, Stream.ADV}


def test_filters_are_said_as_the_server_takes_them() -> None:
    by_durable = {(consumer.stream, consumer.durable): consumer_config(consumer) for consumer in topology.CONSUMERS}
    assert by_durable[Stream.CMD, Durable.GIT]["filter_subject"] == "cmd.git.>"
    assert len(str(by_durable[Stream.EVT, Durable.SCHEDULER]["filter_subjects"]).split(",")) == 4
    assert "filter_subject" not in by_durable[Stream.ADV, Durable.DEAD_LETTERS]


def _cell(subjects: tuple[str, ...]) -> str:
    return " ".join(f"`{subject}`" for subject in subjects) or "none"


def tables() -> str:
    """The tables of README.md as the topology has them."""
    lines = ["| stream | subjects | when full | per mille of the store | days | |", "|---|---|---|---|---|---|"]
    for stream in topology.STREAMS:
        kind = f"mirror of {stream.mirror_of}, account AUDIT" if stream.mirror_of else "work queue" if stream.work_queue else ""
        notes = ", ".join(
            note
            for note, holds in {
                kind: kind,
                "never overwritten": stream.never_overwrite,
                "last value per key": stream.one_per_subject and not stream.never_overwrite,
                "schedules": stream.schedules,
            }.items()
            if holds
        )
        full = "refuses" if stream.discard is topology.Discard.NEW else "drops the oldest"
        days = stream.max_age_seconds // topology.DAY
        lines.append(f"| {stream.name} | {_cell(stream.subjects)} | {full} | {stream.per_mille} | {days} | {notes} |")
    lines += ["", "| consumer | of | takes |", "|---|---|---|"]
    lines += [f"| {consumer.durable} | {consumer.stream} | {_cell(consumer.filters or ('>',))} |" for consumer in topology.CONSUMERS]
    lines += ["", "| user | lives in | may publish | may subscribe | answers |", "|---|---|---|---|---|"]
    for user in topology.USERS:
        answers = "yes" if user.answers else ""
        lines.append(f"| {user.name} | {user.home} | {_cell(user.publish)} | {_cell(user.subscribes)} | {answers} |")
    return "\n".join(lines)


def test_the_readme_says_what_the_topology_says() -> None:
    said = README.read_text()
    begin, end = "<!-- topology: checked by tests/unit/deploy/nats/test_topology.py -->\n", "\n<!-- end -->"
    assert said[said.index(begin) + len(begin) : said.index(end)] == tables()
