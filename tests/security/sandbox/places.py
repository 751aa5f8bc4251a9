"""Files, devices and what a process is: /dev, /proc, /sys, control groups, the root, who runs."""

from tests.security.sandbox.probes import NOT_THERE, OPEN, Group, Probe

_CGROUPS = ("", "/memory", "/pids", "/cpu", "/devices", "/rdma")
_NO_CAPABILITY = "0000000000000000"

GROUP = Group(
    "Files and rights",
    (
        Probe(
            "devices",
            "the machine's memory, disks, log, virtual machines and tunnels",
            {
                device: ("read", f"/dev/{device}")
                for device in ("mem", "kmsg", "kvm", "fuse", "net/tun", "vda", "sda", "nvme0n1", "vhost-vsock")
            },
            NOT_THERE | {"EPERM"},
        ),
        Probe(
            "/proc of the machine",
            "its memory, log, keys and timers",
            {file: ("read", f"/proc/{file}") for file in ("kcore", "kmsg", "timer_list", "sched_debug")}
            | {"key-users": ("read", "/proc/keys")},
            NOT_THERE | {"EPERM"},
        ),
        Probe(
            "switches in /proc",
            "crashes the machine, runs a program as root on the host, changes settings that have no namespace",
            {
                "sysrq": ("write", "/proc/sysrq-trigger"),
                "core_pattern": ("write", "/proc/sys/kernel/core_pattern"),
                "modprobe": ("write", "/proc/sys/kernel/modprobe"),
                "binfmt_misc": ("write", "/proc/sys/fs/binfmt_misc/register"),
                "any setting": ("writable_below", "/proc/sys"),
            },
            NOT_THERE,
        ),
        Probe(
            "/sys",
            "devices, power, firmware, tracing",
            {
                "uevent_helper": ("write", "/sys/kernel/uevent_helper"),
                "power": ("write", "/sys/power/state"),
                "firmware": ("read", "/sys/firmware/dmi/tables/DMI", "/sys/firmware/acpi/tables/DSDT"),
                "debugfs": ("read", "/sys/kernel/debug/sched/debug", "/sys/kernel/tracing/trace"),
                "any file": ("writable_below", "/sys"),
            },
            NOT_THERE,
        ),
        Probe(
            "control groups",
            "lifts one's own limits; `release_agent` runs a program as root on the host (CVE-2022-0492)",
            {
                "release_agent": ("write", *(f"/sys/fs/cgroup{group}/release_agent" for group in _CGROUPS)),
                "limits": (
                    "write",
                    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                    "/sys/fs/cgroup/pids/pids.max",
                    "/sys/fs/cgroup/memory.max",
                    "/sys/fs/cgroup/pids.max",
                ),
                "devices": ("write", "/sys/fs/cgroup/devices/devices.allow"),
                "processes": ("write", *(f"/sys/fs/cgroup{group}/cgroup.procs" for group in _CGROUPS)),
            },
            NOT_THERE,
        ),
        Probe(
            "the first process",
            "ours: its memory, its files, its output, its namespaces",
            {
                "memory": ("write", "/proc/1/mem"),
                "environment": ("read", "/proc/1/environ"),
                "output": ("write", "/proc/1/fd/1"),
                "root": ("read", "/proc/1/root/etc/passwd"),
                "out-of-memory score": ("write", "/proc/1/oom_score_adj"),
            },
            NOT_THERE,
        ),
        Probe(
            "the image's files",
            "a changed program is what the next step of ours runs",
            {
                "root": ("create", "/", "/etc", "/usr/bin", "/usr/local/lib/async-code", "/run", "/var/lib"),
                "door": ("create", "/run/egress"),
            },
            NOT_THERE,
        ),
        Probe(
            "the pristine snapshot",
            "what the work is compared with: who changes it changes what counts as changed",
            {"repository": ("create", "/base", "/base/repo.git")},
            NOT_THERE,
        ),
        Probe("files that raise rights", "setuid, setgid and file capabilities", {"any file": ("raising_files",)}, NOT_THERE),
        Probe(
            "rights of the process",
            "root, capabilities, or a way to get them",
            {
                "user": ("status", "Uid", "10001"),
                "effective": ("status", "CapEff", _NO_CAPABILITY),
                "bounding": ("status", "CapBnd", _NO_CAPABILITY),
                "ambient": ("status", "CapAmb", _NO_CAPABILITY),
                "no new privileges": ("status", "NoNewPrivs", "1"),
                "filter": ("status", "Seccomp", "2"),
            },
            NOT_THERE,
        ),
        Probe(
            "limits",
            "one sandbox takes the whole machine",
            {
                "memory": ("limit", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"),
                "swap": ("limit", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", "/sys/fs/cgroup/memory.swap.max"),
                "processes": ("limit", "/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max"),
                "processors": ("limit", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu.max"),
            },
            frozenset({"limited"}),
        ),
        Probe(
            "what kind of machine it is",
            "tells an attacker which holes to try",
            {file: ("read", f"/proc/{file}") for file in ("version", "cpuinfo", "meminfo", "stat")},
            frozenset({OPEN}),
            "the kernel says it to every program, and language runtimes ask. gVisor (`runsc`) answers in the host's place",
        ),
    ),
)
