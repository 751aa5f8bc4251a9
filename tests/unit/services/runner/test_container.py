"""The create request as exact values: every line of it is a promise to the person whose machine this is."""

from dataclasses import replace
from pathlib import Path

from services.runner import attendant, container
from services.runner.runtime import Runtime
from services.runner.sandbox import SandboxSpec
from shared.events.ids import OwnerId, RunId, TaskId
from shared.events.values import Limits

MIB = 1024 * 1024
RUN, OWNER, TASK = (f"{digit}0000000-0000-4000-8000-000000000000" for digit in "123")
SPEC = SandboxSpec(
    run_id=RunId(RUN),
    fence=7,
    owner=OwnerId(OWNER),
    task_id=TaskId(TASK),
    image="async-code/shell:current",
    limits=Limits(wall_seconds=600, memory_mib=1_024, disk_mib=512, pids=100, cpus=1.5),
    workspace_bytes=10 * MIB,
    max_result_bytes=100 * MIB,
)
LABELS = container.labels(SPEC, "team", "runner-1")
SIZES = (512 * MIB, 128 * MIB, 128 * MIB, 128 * MIB, (20 + 100 + 64) * MIB, 64 * MIB)
DISKS = sum(size + (size // 4_096 + 8_192) * 1_024 for size in SIZES)
HOST = {
    "NetworkMode": "none",
    "Dns": ["127.0.0.1"],
    "DnsSearch": ["."],
    "DnsOptions": ["attempts:1", "timeout:1"],
    "ReadonlyRootfs": True,
    "Privileged": False,
    "CapDrop": ["ALL"],
    "SecurityOpt": ["no-new-privileges:true", "seccomp={}"],
    "IpcMode": "private",
    "PidMode": "",
    "CgroupnsMode": "private",
    "Runtime": "runc",
    "Memory": 1_024 * MIB + DISKS,
    "MemorySwap": 1_024 * MIB + DISKS,
    "NanoCpus": 1_500_000_000,
    "PidsLimit": 116,
    "OomScoreAdj": 500,
    "Ulimits": [{"Name": "nofile", "Soft": 16_384, "Hard": 16_384}, {"Name": "core", "Soft": 0, "Hard": 0}],
    "Tmpfs": {
        "/workspace": f"rw,nosuid,nodev,exec,mode=0755,uid=10001,gid=10001,size={512 * MIB},nr_inodes=139264",
        "/home/agent": f"rw,nosuid,nodev,exec,mode=0755,uid=10001,gid=10001,size={128 * MIB},nr_inodes=40960",
        "/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={128 * MIB},nr_inodes=40960",  # noqa: S108 - the sandbox's
        "/checkpoint": f"rw,nosuid,nodev,noexec,mode=0700,uid=10001,gid=10001,size={128 * MIB},nr_inodes=40960",
        "/base": f"rw,nosuid,nodev,noexec,mode=0755,uid=10002,gid=10002,size={184 * MIB},nr_inodes=55296",
        "/dev/shm": f"rw,nosuid,nodev,noexec,mode=1777,size={64 * MIB},nr_inodes=24576",  # noqa: S108 - likewise
    },
    "Mounts": [],
    "AutoRemove": False,
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "256k", "max-file": "1"}},
}


def test_the_whole_request() -> None:
    assert container.create_request(SPEC, "sha256:abc", LABELS, "{}", Runtime()) == {
        "Image": "sha256:abc",
        "User": "10002:10002",
        "Entrypoint": ["/usr/bin/tini", "--"],
        "Cmd": ["/bin/bash", "-c", attendant.SCRIPT, "attendant", "2400"],
        "OpenStdin": True,
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
        "WorkingDir": "/",
        "Hostname": "sandbox",
        "Labels": {
            "async-code.deployment": "team",
            "async-code.runner": "runner-1",
            "async-code.run": RUN,
            "async-code.fence": "7",
            "async-code.owner": OWNER,
            "async-code.task": TASK,
        },
        "HostConfig": HOST,
    }


def test_a_door_is_the_one_mount_and_read_only() -> None:
    request = container.create_request(replace(SPEC, door=Path("/run/doors/1")), "sha256:abc", LABELS, "{}", Runtime())
    assert request["HostConfig"]["Mounts"] == [
        {
            "Type": "bind",
            "Source": "/run/doors/1",
            "Target": "/run/egress",
            "ReadOnly": True,
            "BindOptions": {"Propagation": "rprivate"},
        }
    ]


def test_gvisors_own_tasks_and_memory_are_granted_on_top() -> None:
    """The engine's limits count the kernel that stands around the agent; reaching them would end the sandbox and not a program in it."""
    plain = container.create_request(SPEC, "sha256:abc", LABELS, "{}", Runtime())["HostConfig"]
    under = container.create_request(SPEC, "sha256:abc", LABELS, "{}", Runtime("runsc", own_kernel=True))["HostConfig"]
    changed = {key: (plain[key], under[key]) for key in plain if plain[key] != under[key]}
    memory = plain["Memory"], plain["Memory"] + 128 * MIB
    assert changed == {"Runtime": ("runc", "runsc"), "PidsLimit": (116, 116 * 16 + 256), "Memory": memory, "MemorySwap": memory}


def test_small_disks_keep_room_for_home_and_tmp() -> None:
    disks = container.disks(replace(SPEC, limits=Limits(disk_mib=16)))
    assert (disks["/workspace"], disks["/home/agent"]) == (16 * MIB, 16 * MIB)


def test_an_attempt_has_one_name() -> None:
    assert container.name(SPEC) == f"async-code-{RUN}-7"
