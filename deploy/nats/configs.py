"""The topology in the words of the server's JetStream API. Nothing is decided here."""

from deploy.nats.rooms import Rooms, max_age_seconds, max_bytes
from deploy.nats.topology import DELIVER, MIRRORED_API, ConsumerSpec, StreamSpec


def stream_config(spec: StreamSpec, store_bytes: int, rooms: Rooms, replicas: int) -> dict[str, object]:
    """The stream's configuration as the server's API takes it (durations in nanoseconds)."""
    described: dict[str, object] = {
        "name": spec.name,
        "retention": "workqueue" if spec.work_queue else "limits",
        "storage": "file",
        "discard": spec.discard,
        "max_bytes": max_bytes(spec, store_bytes, rooms),
        "max_age": max_age_seconds(spec, rooms) * 10**9,
        "max_msgs_per_subject": 1 if spec.one_per_subject else -1,
        "discard_new_per_subject": spec.never_overwrite,
        "allow_direct": True,
        "deny_delete": True,
        "deny_purge": True,
        "allow_rollup_hdrs": False,
        "num_replicas": replicas,
    }
    if spec.mirror_of is not None:
        external = {"api": MIRRORED_API, "deliver": DELIVER}
        return described | {"mirror": {"name": spec.mirror_of, "external": external}}
    return described | {
        "subjects": list(spec.subjects),
        "duplicate_window": spec.duplicate_window_seconds * 10**9,
        "allow_msg_ttl": spec.message_ttl,
        "allow_msg_schedules": spec.schedules,
    }


def consumer_config(spec: ConsumerSpec) -> dict[str, object]:
    """The consumer's configuration as the server's API takes it."""
    described: dict[str, object] = {
        "durable_name": spec.durable,
        "name": spec.durable,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "replay_policy": "instant",
        "ack_wait": spec.ack_wait_seconds * 10**9,
        "max_deliver": spec.max_deliver,
        "max_ack_pending": spec.max_ack_pending,
    }
    if len(spec.filters) == 1:
        return described | {"filter_subject": spec.filters[0]}
    if spec.filters:
        return described | {"filter_subjects": list(spec.filters)}
    return described
