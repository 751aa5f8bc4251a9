from pathlib import Path

from services.runner import seccomp

PROFILE = Path(seccomp.__file__).with_name("seccomp.json")

CLOSED = set(
    """
    io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv process_vm_writev memfd_secret
    modify_ldt userfaultfd bpf perf_event_open keyctl add_key request_key unshare setns mount umount2 pivot_root
    chroot kexec_load init_module finit_module open_by_handle_at name_to_handle_at pidfd_getfd kcmp vmsplice
    fsopen move_mount open_tree syslog acct reboot swapon iopl ioperm quotactl fanotify_init
    """.split()  # noqa: SIM905 - a list of forty names reads better so
)


def test_the_stored_profile_is_the_generated_one() -> None:
    assert PROFILE.read_text() == seccomp.encoded(), "run: python -m services.runner.seccomp > services/runner/seccomp.json"


def test_what_reaches_beyond_the_sandbox_is_closed() -> None:
    allowed = {name for rule in seccomp.profile()["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}
    assert not CLOSED & allowed


def test_everything_unnamed_is_refused_and_there_is_one_calling_convention() -> None:
    profile = seccomp.profile()
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
    assert profile["architectures"] == ["SCMP_ARCH_X86_64"]


def test_sockets_are_never_allowed_without_a_condition() -> None:
    rules = [rule for rule in seccomp.profile()["syscalls"] if "socket" in rule["names"] or "clone" in rule["names"]]
    assert rules
    assert all(rule["args"] for rule in rules)


def test_no_call_is_allowed_twice() -> None:
    names = [name for _, listed in seccomp.ALLOWED.values() for name in listed.split()]
    assert len(names) == len(set(names))
