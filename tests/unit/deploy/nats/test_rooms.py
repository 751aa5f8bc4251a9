import json

import pytest

from deploy.nats import rooms, topology
from deploy.nats.apply import DestructiveDrift, refuse_loss
from deploy.nats.configs import stream_config
from deploy.nats.rooms import MIB, BadRoom, Room
from deploy.nats.topology import DAY, StreamSpec
from shared.bus.streams import Mirror, Stream
from shared.store.inbox import KEPT

STORE = 1024 * MIB


def spec(name: Stream | Mirror) -> StreamSpec:
    return next(stream for stream in topology.STREAMS if stream.name is name)


def test_what_is_given_holds_and_the_rest_is_the_topologys() -> None:
    given = rooms.parse('{"EVT": {"mib": 300, "days": 60}, "BLOB_CHANGES": {"days": 90}}')
    assert rooms.max_bytes(spec(Stream.EVT), STORE, given) == 300 * MIB
    assert rooms.max_age_seconds(spec(Stream.EVT), given) == 60 * DAY
    assert rooms.max_bytes(spec(Stream.BLOB_CHANGES), STORE, given) == spec(Stream.BLOB_CHANGES).max_bytes(STORE)
    assert rooms.max_age_seconds(spec(Stream.BLOB_CHANGES), given) == 90 * DAY
    assert rooms.max_age_seconds(spec(Stream.CMD), given) == spec(Stream.CMD).max_age_seconds


def test_the_store_holds_every_stream_full() -> None:
    assert rooms.total_bytes(STORE, {}) == STORE
    larger = rooms.parse('{"EVT": {"mib": 2048}}')
    assert rooms.total_bytes(STORE, larger) == sum(rooms.max_bytes(stream, STORE, larger) for stream in topology.STREAMS) > 2048 * MIB


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("EVT=3", "no JSON"),
        ("[]", "an object"),
        ('{"EVENTS": {"mib": 1}}', "EVENTS is no stream; there are CMD, EVT"),
        ('{"EVT": 5}', "mib"),
        ('{"EVT": {}}', "mib"),
        ('{"EVT": {"bytes": 5}}', "mib"),
        ('{"EVT": {"mib": 0}}', "from 1 to"),
        ('{"EVT": {"mib": "9"}}', "whole number"),
        ('{"EVT": {"mib": true}}', "whole number"),
        ('{"EVT": {"mib": null}}', "whole number"),
        ('{"EVT": {"days": 6}}', "from 7 to 365"),
        ('{"CMD": {"days": 40}}', "cannot be set"),
        ('{"KV_lease": {"days": 1}}', "cannot be set"),
        ('{"BLOB_WORKSPACE": {"days": 13}}', "from 14 to 56"),
        ('{"BLOB_TRANSCRIPT": {"days": 7}}', "from 8 to 120"),
    ],
)
def test_what_cannot_be_given_is_refused(given: str, why: str) -> None:
    with pytest.raises(BadRoom, match=why):
        rooms.parse(given)


def test_a_message_is_remembered_for_longer_than_it_can_come_again() -> None:
    assert KEPT.days > rooms.replay_days({}) == 44
    assert rooms.replay_days(rooms.parse(json.dumps({"EVT": {"days": 100}, "DLQ": {"days": 20}}))) == 120


def _drift(first: str, days: int) -> None:
    evt = spec(Stream.EVT)
    actual, wanted = stream_config(evt, STORE, {}, 1), stream_config(evt, STORE, {"EVT": Room(days=days)}, 1)
    refuse_loss(evt, wanted, {"config": actual, "state": {"messages": 1, "bytes": 100, "first_ts": first}}, ["max_age"])


def test_a_shorter_age_is_taken_over_when_it_drops_nothing() -> None:
    _drift("2999-01-01T00:00:00.123456789Z", days=7)
    with pytest.raises(DestructiveDrift, match="holds messages since 2020-01-01T00:00:00Z"):
        _drift("2020-01-01T00:00:00Z", days=7)
