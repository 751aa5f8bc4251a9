from deploy.embedded import capacity
from deploy.embedded.disk import AtLimit, Disk, Part, shortage
from deploy.nats.rooms import MIB

EVT = Part("stream EVT", 80 * MIB, 100 * MIB, AtLimit.DROPS)
CMD = Part("stream CMD", 79 * MIB, 100 * MIB, AtLimit.REFUSES)
CACHE = Part("git mirrors", 100 * MIB, 100 * MIB, AtLimit.EVICTS)
TRAIL = Part("schema audit", 5_000 * MIB, None, AtLimit.GROWS)


def test_who_comes_near_a_limit_is_named_with_what_happens_there() -> None:
    disk = Disk(10_000 * MIB, (EVT, CMD, CACHE, TRAIL))
    assert disk.warnings() == ("stream EVT holds 80 MiB of 100 MiB; when it is full it drops its oldest",)


def test_a_full_cache_is_as_it_should_be() -> None:
    assert not CACHE.near
    assert not TRAIL.near


def test_a_disk_with_less_than_its_parts_may_take_is_said() -> None:
    assert EVT.may_still_take + CMD.may_still_take == 41 * MIB
    assert shortage(41 * MIB, (EVT, CMD, CACHE, TRAIL)) == ()
    (said,) = shortage(40 * MIB, (EVT, CMD))
    assert said.startswith("40 MiB are free on the disk, and its parts may still take 41 MiB")


def test_a_part_over_its_limit_takes_no_more() -> None:
    assert Part("x", 3 * MIB, 2 * MIB, AtLimit.EVICTS).may_still_take == 0


def test_what_could_not_be_measured_is_no_silence() -> None:
    assert Disk(1, (), ("streams (BusUnreachable)",)).warnings() == ("not measured: streams (BusUnreachable)",)


def test_the_figures_of_a_deployment_without_settings() -> None:
    assert capacity.nats_bytes({}) == 16 * 1024 * MIB
    assert capacity.cache_bytes({}) == 20 * 1024 * MIB
    assert capacity.log_bytes({}) == 16 * MIB
    assert capacity.min_free_bytes({"MIN_FREE_MIB": "0"}) == 0
    assert capacity.nats_bytes({"STORE_MIB": "200", "STREAMS": '{"OUT": {"mib": 500}}'}) > 500 * MIB
