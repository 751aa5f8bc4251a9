"""What counts as a wall that is there, and what is refused without."""

from typing import Any

import pytest

from services.runner import protections, trial
from services.runner.protections import REQUIRED, EngineSays, Walls
from shared.events.values import Protection

INFO: dict[str, Any] = {
    "ServerVersion": "20.10.24+dfsg1",
    "KernelVersion": "6.1.0",
    "CgroupVersion": "2",
    "Driver": "overlay2",
    "Runtimes": {"runc": {}},
    "SecurityOptions": ["name=seccomp,profile=default", "name=userns"],
    "MemoryLimit": True,
    "SwapLimit": True,
    "PidsLimit": True,
    "CpuCfsQuota": True,
}
DISKS = {"/workspace": 1 << 20, "/base": 1 << 20}
TOLD: dict[str, Any] = {
    "refused": True,
    "capabilities": [0, 0, 0, 0],
    "no_new_privileges": "1",
    "root": ["ro"],
    "interfaces": ["lo"],
    "disks": DISKS,
    "apparmor": "docker-default (enforce)",
    "kernel": "6.1.0",
}


def walls(info: dict[str, Any] | None = None, told: dict[str, Any] | None = None, profile: str = "") -> Walls:
    seen = trial.judged(TOLD | (told or {}), DISKS, profile)
    return Walls(EngineSays.of(INFO | (info or {})), seen, REQUIRED, frozenset())


def test_a_good_engine_lacks_nothing() -> None:
    assert walls().missing == frozenset()
    assert walls().there == frozenset(Protection) - {Protection.ROOTLESS, Protection.OWN_KERNEL}


@pytest.mark.parametrize(
    ("told", "lacking"),
    [
        ({"refused": False}, Protection.SECCOMP),
        ({"capabilities": [0, 0, 0xA80425FB, 0]}, Protection.NO_CAPABILITIES),
        ({"capabilities": []}, Protection.NO_CAPABILITIES),
        ({"no_new_privileges": "0"}, Protection.NO_NEW_PRIVILEGES),
        ({"no_new_privileges": None}, Protection.NO_NEW_PRIVILEGES),
        ({"root": ["rw"]}, Protection.READ_ONLY_ROOT),
        ({"root": []}, Protection.READ_ONLY_ROOT),
        ({"interfaces": ["lo", "eth0"]}, Protection.NO_NETWORK),
        ({"disks": DISKS | {"/base": 1 << 30}}, Protection.DISK_LIMIT),
        ({"disks": {"/base": 1 << 20}}, Protection.DISK_LIMIT),
    ],
)
def test_what_is_not_seen_is_not_there(told: dict[str, Any], lacking: Protection) -> None:
    assert walls(told=told).missing == {lacking}


@pytest.mark.parametrize(
    ("field", "lacking"),
    [
        ("MemoryLimit", Protection.MEMORY_LIMIT),
        ("SwapLimit", Protection.SWAP_LIMIT),
        ("PidsLimit", Protection.PIDS_LIMIT),
        ("CpuCfsQuota", Protection.CPU_LIMIT),
    ],
)
@pytest.mark.parametrize("said", [False, None, "yes"])
def test_what_the_engine_does_not_say_is_not_there(field: str, lacking: Protection, said: object) -> None:
    assert walls({field: said}).missing == {lacking}


def test_an_engine_that_says_nothing_lacks_every_limit() -> None:
    says = EngineSays.of({})
    assert says.protections == frozenset()
    assert Walls(says, None, REQUIRED, frozenset()).missing == {
        Protection.MEMORY_LIMIT,
        Protection.SWAP_LIMIT,
        Protection.PIDS_LIMIT,
        Protection.CPU_LIMIT,
    }


def test_a_kernel_of_its_own_is_a_filter() -> None:
    own = walls(told={"kernel": "4.4.0", "refused": False})
    assert own.missing == frozenset()
    assert Protection.OWN_KERNEL in own.there


@pytest.mark.parametrize(
    ("profile", "confined", "there"),
    [
        ("", "docker-default (enforce)", True),
        ("", "unconfined", False),
        ("", "", False),
        ("ours", "ours (enforce)", True),
        ("ours", "ours (complain)", False),
        ("ours", "docker-default (enforce)", False),
    ],
)
def test_a_profile_confines_by_name_and_in_force(profile: str, confined: str, there: bool) -> None:
    assert (Protection.APPARMOR in walls(told={"apparmor": confined}, profile=profile).there) is there


def test_what_a_fact_carries_is_made_of_plain_characters() -> None:
    assert EngineSays.of(INFO | {"KernelVersion": "6.1 <x>\n"}).kernel == "6.1--x--"
    assert walls().engine.version == "20.10.24-dfsg1"
    assert walls({"KernelVersion": "6.1+a"}, {"kernel": "6.1+a"}).missing == frozenset()


def test_every_required_wall_has_its_advice() -> None:
    said = protections.advice([*REQUIRED, Protection.APPARMOR])
    assert all(name in said for name in REQUIRED)
    assert said.endswith(",".join(sorted([*REQUIRED, Protection.APPARMOR])))
