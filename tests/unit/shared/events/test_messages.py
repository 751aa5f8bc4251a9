"""What every message promises: one spelling in bytes, a subject that reads well, ids that follow from their cause."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.events import catalogue, commands, envelope, facts, failures, ids
from shared.events.payload import Kind
from shared.events.values import Outcome

OWNER, TASK, CAUSE = ids.OwnerId(ids.fresh()), ids.TaskId(ids.fresh()), ids.EventId(ids.fresh())


def _message(fence: int = 7) -> envelope.AnyEnvelope:
    payload = facts.RunStarted(run_id=ids.RunId(ids.derive(TASK, "run")), fence=fence, runner_id="r1", image_digest="sha256:00")
    return envelope.new(payload, source="runner", owner=OWNER, task=TASK, cause=CAUSE)


def test_a_message_reads_back_as_itself() -> None:
    message = _message()
    assert catalogue.parse(message.encode()) == message


def test_the_subject_follows_from_the_type() -> None:
    assert _message().nats_subject == f"evt.run.started.{OWNER}.{TASK}"
    assert envelope.subject(commands.GitPrepare, "-", "-") == "cmd.git.prepare.-.-"


def test_the_same_cause_gives_the_same_id_and_another_type_or_discriminator_another() -> None:
    succeeded = facts.TaskSucceeded(outcome=Outcome.NO_CHANGES)
    said = [
        envelope.new(succeeded, source="scheduler", owner=OWNER, task=TASK, cause=CAUSE),
        envelope.new(succeeded, source="scheduler", owner=OWNER, task=TASK, cause=CAUSE),
        envelope.new(succeeded, source="scheduler", owner=OWNER, task=TASK, cause=CAUSE, discriminator="2"),
        envelope.new(facts.TaskCancelled(), source="scheduler", owner=OWNER, task=TASK, cause=CAUSE),
    ]
    assert said[0].id == said[1].id
    assert len({message.id for message in said}) == 3


def test_a_reader_ignores_what_it_does_not_know_and_a_writer_may_not_add_it() -> None:
    message = _message()
    document = json.loads(message.encode())
    document["data"]["added_later"] = {"x": 1}
    document["tracecontext"] = "added-later"
    assert catalogue.parse(json.dumps(document).encode()) == message
    with pytest.raises(ValidationError):
        facts.TaskQueued.model_validate({"added": 1})


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"owner": "root"}, "owner"),
        ({"owner": OWNER.upper()}, "owner"),
        ({"id": "1"}, "id"),
        ({"task": f"-{TASK}"}, "task"),
        ({"source": "/etc"}, "source"),
    ],
)
def test_a_broken_envelope_is_refused_by_field(change: dict[str, str], where: str) -> None:
    document = json.loads(_message().encode()) | change
    with pytest.raises(catalogue.InvalidMessage, match=where):
        catalogue.parse(json.dumps(document).encode())


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)).map(
        lambda v: json.dumps(v).encode()
    )
)
def test_anything_else_is_an_invalid_message_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(catalogue.InvalidMessage):
        catalogue.parse(data)


def test_a_message_found_where_another_belongs_is_refused() -> None:
    message = _message()
    assert catalogue.parse(message.encode(), message.nats_subject) == message
    for other in (f"evt.task.succeeded.{OWNER}.{TASK}", f"evt.run.started.{TASK}.{TASK}"):
        with pytest.raises(catalogue.InvalidMessage, match="another subject"):
            catalogue.parse(message.encode(), other)


def test_deeply_nested_json_is_an_invalid_message() -> None:
    with pytest.raises(catalogue.InvalidMessage):
        catalogue.parse(b"[" * 100_000)


def test_an_invalid_message_never_repeats_what_it_held() -> None:
    document = json.loads(_message().encode()) | {"owner": "planted-secret"}
    with pytest.raises(catalogue.InvalidMessage) as caught:
        catalogue.parse(json.dumps(document).encode())
    assert "planted-secret" not in str(caught.value)


@pytest.mark.parametrize("message_type", sorted(catalogue.TYPES))
def test_type_and_kind_agree_with_the_grammar(message_type: str) -> None:
    payload = catalogue.TYPES[message_type]
    entity, name, version = message_type.split(".")
    assert version == "v1"
    assert entity.isidentifier()
    assert name.isidentifier()
    assert (payload.KIND is Kind.COMMAND) == (entity in {"scheduler", "git", "runner"})


def test_every_command_for_another_service_has_its_endings() -> None:
    asked = {payload for payload in catalogue.TYPES.values() if payload.KIND is Kind.COMMAND and not payload.TYPE.startswith("scheduler.")}
    assert asked == catalogue.ENDINGS.keys()


@pytest.mark.parametrize("code", sorted(failures.CODES))
def test_every_failure_says_what_happened_and_what_to_do(code: str) -> None:
    failure = failures.failure(code)
    assert failure.failure_class in set(failures.FailureClass)
    assert failure.message.endswith(".")
    assert failure.advice.endswith(".")
