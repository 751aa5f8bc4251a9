from pathlib import Path

import pytest

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


@pytest.mark.parametrize("call", ["socket", "socketpair", "clone", "ioctl", "prctl", "mknod", "mknodat", "seccomp", "personality"])
def test_what_is_many_calls_in_one_is_never_allowed_without_a_condition(call: str) -> None:
    rules = [rule for rule in seccomp.profile()["syscalls"] if call in rule["names"]]
    assert rules
    assert all(rule["args"] for rule in rules)


def test_conditions_on_numbers_of_32_bits_look_at_no_more() -> None:
    """The kernel ignores the upper half of such an argument: a filter that compares it is passed by setting a bit there."""
    rules = [rule for rule in seccomp.profile()["syscalls"] if {"ioctl", "prctl"} & set(rule["names"])]
    assert {(argument["op"], argument["value"]) for rule in rules for argument in rule["args"]} == {("SCMP_CMP_MASKED_EQ", 0xFFFFFFFF)}


@pytest.mark.parametrize("request_number", [0x5412, 0x541C, 0x5423, 0x541D], ids=["TIOCSTI", "TIOCLINUX", "TIOCSETD", "TIOCCONS"])
def test_dangerous_requests_to_terminals_are_no_part_of_any_range(request_number: int) -> None:
    requests = {rule["args"][0]["valueTwo"] for rule in seccomp.profile()["syscalls"] if rule["names"] == ["ioctl"]}
    assert request_number not in requests


def test_no_call_is_allowed_twice() -> None:
    names = [name for _, listed in seccomp.ALLOWED.values() for name in listed.split()]
    assert len(names) == len(set(names))
