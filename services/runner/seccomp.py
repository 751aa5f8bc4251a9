"""The sandbox's system call filter, from which `seccomp.json` is made: `python -m services.runner.seccomp > services/runner/seccomp.json`.

An allow-list: what is not named gets EPERM. It starts from what programs need, not from Docker's default profile, which on a recent
kernel leaves open io_uring, ptrace, memfd_secret, modify_ldt, 32-bit calls, AF_VSOCK (not namespaced: the hypervisor stands behind it),
netfilter netlink and ping sockets. x86_64 alone: libseccomp kills a process that calls by another convention (int 0x80, x32).

Must never grow by "something did not work": a new entry stands in the group whose reason covers it, or in a group with its own reason.
"""

import json
import sys
from typing import Any

_ENOSYS = 38
_EPERM = 1

ALLOWED: dict[str, tuple[str, str]] = {
    "files": (
        "reading, writing and arranging files; the mount namespace and file permissions decide which",
        """access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate
        fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat
        fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init inotify_init1
        inotify_rm_watch lchown lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat mkdir
        mkdirat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
        readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs statx symlink
        symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat utimes write writev""",
    ),
    "memory": (
        "a process's own memory; memfd_create serves language runtimes, memfd_secret and userfaultfd stay closed",
        """brk madvise membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall munmap
        pkey_alloc pkey_free pkey_mprotect""",
    ),
    "processes": (
        "starting, ending and waiting for processes of one's own; the pids limit counts them",
        """alarm execve execveat exit exit_group fork get_robust_list getitimer getpgid getpgrp getpid getppid getpriority
        getrlimit getrusage getsid gettid ioprio_get ioprio_set kill pause pidfd_open pidfd_send_signal prlimit64
        restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
        sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield
        set_robust_list set_tid_address setitimer setpgid setpriority setrlimit setsid tgkill times tkill vfork wait4 waitid
        arch_prctl""",
    ),
    "signals": (
        "signal handling",
        """rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
        sigaltstack signalfd signalfd4""",
    ),
    "identity": (
        "asking who one is, and setting it to what it is already: without capabilities nothing else succeeds",
        """capget capset getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid
        setresgid setresuid setreuid setuid""",
    ),
    "waiting": (
        "event loops, timers and locks; io_uring stays closed, legacy aio too",
        """clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait
        eventfd eventfd2 futex futex_waitv getcpu getrandom gettimeofday nanosleep pipe pipe2 poll ppoll pselect6 select sysinfo
        time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
        timerfd_settime uname""",
    ),
    "sockets": (
        "using sockets; which ones can be made is decided by the rules for `socket` below",
        """accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg sendto
        setsockopt shutdown""",
    ),
    "shared memory": (
        "System V semaphores and memory in the container's own ipc namespace: databases that tests start need them",
        "semctl semget semop semtimedop shmat shmctl shmdt shmget",
    ),
    "restricting oneself": (
        "a program may only take away from itself with these",
        "landlock_add_rule landlock_create_ruleset landlock_restrict_self",
    ),
}

_CLONE_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET, linux/sched.h
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_TYPE_MASK = 0xF  # linux/net.h: the rest are flags such as SOCK_CLOEXEC
_SOCK_STREAM, _SOCK_DGRAM = 1, 2
_IPPROTO_ANY, _IPPROTO_TCP, _IPPROTO_UDP, _NETLINK_ROUTE = 0, 6, 17, 0
_PERSONALITY_LINUX, _PERSONALITY_ASK = 0, 0xFFFFFFFF
_INT = 0xFFFFFFFF  # of such an argument the kernel reads 32 bits: a filter that compares 64 is passed by setting a higher one

_IOCTLS: dict[str, tuple[str, tuple[int, ...]]] = {
    "terminals": (
        "their own. Not TIOCSTI, which types into one (CVE-2017-5226), TIOCLINUX, nor TIOCSETD, which loads line disciplines",
        # TCGETS … TIOCSPGRP, TIOCOUTQ, TIOCGWINSZ, TIOCSWINSZ, FIONREAD, TIOCPKT, FIONBIO, TIOCNOTTY, TIOCGETD, TCSBRKP, TIOCGSID
        (*range(0x5401, 0x5412), 0x5413, 0x5414, 0x541B, 0x5420, 0x5421, 0x5422, 0x5424, 0x5425, 0x5429),
    ),
    "newer requests to terminals": (
        "TCGETS2 and its like, and a pseudo-terminal's number, lock and other end",
        (0x802C542A, 0x402C542B, 0x402C542C, 0x402C542D, 0x80045430, 0x40045431, 0x80045432, 0x80045438, 0x80045439, 0x5441),
    ),
    "open files": ("FIONCLEX, FIOCLEX, FIOASYNC, FIOQSIZE: what fcntl does as well", (0x5450, 0x5451, 0x5452, 0x5460)),
    "copies": (
        "FICLONE, FICLONERANGE, FIDEDUPERANGE, FS_IOC_FIEMAP, FS_IOC_GETFLAGS",
        (0x40049409, 0x4020940D, 0xC0189436, 0xC020660B, 0x80086601),
    ),
    "interfaces": (
        "asking for addresses, names and flags of interfaces, and SIOCATMARK",
        (0x8905, *range(0x8910, 0x8914), 0x8915, 0x8919, 0x891B, 0x8921, 0x8927, 0x8933),
    ),
}
"""asm-generic/ioctls.h, linux/fs.h, linux/sockios.h. No device can be opened, so nothing else has somebody to answer."""

_PRCTLS: dict[str, tuple[int, ...]] = {
    "PDEATHSIG": (1, 2),
    "DUMPABLE": (3, 4),
    "KEEPCAPS": (7, 8),
    "NAME": (15, 16),
    "SECCOMP": (21, 22),
    "CAPBSET": (23, 24),
    "GET_SECUREBITS": (27,),
    "TIMERSLACK": (29, 30),
    "CHILD_SUBREAPER": (36, 37),
    "NO_NEW_PRIVS": (38, 39),
    "THP_DISABLE": (41, 42),
    "CAP_AMBIENT": (47,),
    "SPECULATION_CTRL": (52, 53),
    "MDWE": (65, 66),
    "SET_PTRACER": (0x59616D61,),
    "SET_VMA": (0x53564D41,),
    "GET_AUXV": (0x41555856,),
}
"""linux/prctl.h. Not where memory lies (SET_MM), the clock (SET_TSC), or calls handed to oneself (SET_SYSCALL_USER_DISPATCH)."""

_KIND_OF_FILE, _FILE, _PIPE, _SOCKET = 0o170000, 0o100000, 0o010000, 0o140000
_FILTER_STRICT, _FILTER, _FILTER_ASK, _FILTER_LISTENER = 0, 1, 2, 1 << 3


def profile() -> dict[str, Any]:
    """The filter in the form Docker takes."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [*_allowed(), *_processes(), *_sockets(), *_personality(), *_requests(), *_nodes(), *_filters()],
    }


def _allowed() -> list[dict[str, Any]]:
    return [_rule(names.split(), comment=f"{group}: {reason}") for group, (reason, names) in ALLOWED.items()]


def _processes() -> list[dict[str, Any]]:
    """`clone` without new namespaces. The flags of `clone3` lie in memory no filter can read: ENOSYS makes libc fall back to `clone`."""
    return [
        _rule(["clone"], _masked(0, _CLONE_NEW_NAMESPACES, 0), comment="new processes and threads, no new namespaces"),
        {
            "names": ["clone3"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": _ENOSYS,
            "args": [],
            "comment": "its flags cannot be read by a filter; libc falls back to clone",
        },
    ]


def _sockets() -> list[dict[str, Any]]:
    """UNIX sockets, TCP and UDP (there is no network but loopback), and netlink's routing family, which getifaddrs needs."""
    families = ((_AF_INET, "IPv4"), (_AF_INET6, "IPv6"))
    kinds = ((_SOCK_STREAM, _IPPROTO_TCP, "TCP"), (_SOCK_DGRAM, _IPPROTO_UDP, "UDP"))
    inet = [
        _rule(
            ["socket"],
            _equal(0, family),
            _masked(1, _SOCK_TYPE_MASK, kind),
            _equal(2, chosen),
            comment=f"{protocol_name} over {family_name}",
        )
        for family, family_name in families
        for kind, protocol, protocol_name in kinds
        for chosen in (_IPPROTO_ANY, protocol)
    ]
    return [
        _rule(["socket", "socketpair"], _equal(0, _AF_UNIX), comment="UNIX sockets"),
        *inet,
        _rule(["socket"], _equal(0, _AF_NETLINK), _equal(2, _NETLINK_ROUTE), comment="netlink ROUTE, for getifaddrs"),
    ]


def _personality() -> list[dict[str, Any]]:
    return [_rule(["personality"], _equal(0, value), comment="ask, or set the default") for value in (_PERSONALITY_LINUX, _PERSONALITY_ASK)]


def _requests() -> list[dict[str, Any]]:
    """`ioctl` and `prctl`, each a thousand calls under one number: by request."""
    ioctls = [(request, f"{about}: {reason}") for about, (reason, requests) in _IOCTLS.items() for request in requests]
    prctls = [(option, f"settings of a process: {about}") for about, options in _PRCTLS.items() for option in options]
    return [
        *(_rule(["ioctl"], _masked(1, _INT, request), comment=comment) for request, comment in ioctls),
        *(_rule(["prctl"], _masked(0, _INT, option), comment=comment) for option, comment in prctls),
    ]


def _nodes() -> list[dict[str, Any]]:
    """`mknod` makes files, pipes and sockets, and no devices."""
    return [
        _rule([call], _masked(mode, _KIND_OF_FILE, kind), comment="files, pipes and sockets, no devices")
        for call, mode in (("mknod", 1), ("mknodat", 2))
        for kind in (0, _FILE, _PIPE, _SOCKET)
    ]


def _filters() -> list[dict[str, Any]]:
    """A program may restrict itself, and not answer others' calls in the kernel's place."""
    return [
        *(
            _rule(["seccomp"], _masked(0, _INT, asked), comment="restrict oneself, ask what can be")
            for asked in (_FILTER_STRICT, _FILTER_ASK)
        ),
        _rule(["seccomp"], _masked(0, _INT, _FILTER), _masked(1, _FILTER_LISTENER, 0), comment="a filter of one's own, without a listener"),
    ]


def _rule(names: list[str], *arguments: dict[str, Any], comment: str) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ALLOW", "args": list(arguments), "comment": comment}


def _equal(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


def _masked(index: int, mask: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


def encoded() -> str:
    """The content of `seccomp.json`."""
    return json.dumps(profile(), indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(encoded())
