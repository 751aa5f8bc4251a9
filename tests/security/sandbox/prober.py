"""Runs inside a container, alone: tries ways out, each in a process of its own, and says how each one was answered.

Its text is the argument of the container's python3, so it stands on the standard library only. On standard input comes a list of attempts,
`[verb, argument, …]`; on standard output goes the list of their answers: `open`, or the name of the error or signal that closed it.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import pty
import select
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPEN = "open"
SECONDS = 20
CONNECT_SECONDS = 2
CLONE = 56
SETUID_OR_SETGID = 0o6000

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
kept: list[Any] = []  # what a call was given a pointer to


def value(argument: Any) -> Any:
    """A number as it is; `@page` is the address of zeros, `@text:…` of a string, `@file:…` an open file."""
    if not isinstance(argument, str):
        return ctypes.c_long(argument)
    kind, _, text = argument.partition(":")
    if kind == "@file":
        return ctypes.c_long(os.open(text, os.O_RDONLY))
    kept.append(ctypes.create_string_buffer(text.encode(), len(text) + 1) if kind == "@text" else ctypes.create_string_buffer(4096))
    return kept[-1]


def call(number: int, *arguments: Any) -> str:
    """A kernel call by its number."""
    if libc.syscall(ctypes.c_long(number), *[value(argument) for argument in arguments]) < 0:
        raise OSError(ctypes.get_errno(), "")
    return OPEN


def sweep(*numbers: int) -> str:
    """How many of these calls the kernel was asked for, each with zeros for arguments."""
    answers = [apart(call, number, 0, 0, 0, 0, 0, 0) for number in numbers]
    through = [number for number, answer in zip(numbers, answers, strict=True) if answer not in {"EPERM", "ENOSYS"}]
    return f"{len(through)} of {len(numbers)} let through" if through else "EPERM"


def clone(flags: int) -> str:
    """A process in new namespaces."""
    child = libc.syscall(ctypes.c_long(CLONE), ctypes.c_long(flags | signal.SIGCHLD), *[ctypes.c_long(0)] * 4)
    if child == 0:
        os._exit(0)
    if child < 0:
        raise OSError(ctypes.get_errno(), "")
    return OPEN


def machine_code(instructions: str) -> str:
    """Bytes as a function: what it gives, as the kernel's own answer."""
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex(instructions))
    given = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
    if given < 0:
        raise OSError(-given, "")
    return OPEN


def make_socket(family: int, kind: int, protocol: int) -> str:
    """A socket of a kind."""
    socket.socket(family, kind, protocol).close()
    return OPEN


def terminal(request: int) -> str:
    """A request to a terminal of one's own, as one's controlling terminal."""
    os.setsid()
    _, slave = pty.openpty()
    fcntl.ioctl(slave, 0x540E, 0)  # TIOCSCTTY
    fcntl.ioctl(slave, request, b"x" + bytes(63))
    return OPEN


def read(*paths: str) -> str:
    """The first of these files that holds something that can be read: the engine masks some with an empty one."""
    return first(paths, os.O_RDONLY, lambda opened: os.read(opened, 1))


def write(*paths: str) -> str:
    """The first of these files that opens for writing; nothing is written."""
    return first(paths, os.O_WRONLY, lambda _: OPEN)


def create(*directories: str) -> str:
    """The first of these directories that takes a new file."""
    return first([f"{directory}/probe" for directory in directories], os.O_WRONLY | os.O_CREAT, lambda _: OPEN)


def first(paths: Any, flags: int, then: Callable[[int], object]) -> str:
    """`open`, or the answer of the last that is there; `none` where it holds nothing."""
    answer = "ENOENT"
    for path in paths:
        try:
            opened = os.open(path, flags | os.O_NONBLOCK)
            held = then(opened)
        except OSError as error:
            answer = answer if error.errno == errno.ENOENT else name(error)
        else:
            if flags & os.O_CREAT:
                Path(path).unlink()
            if held:
                return OPEN
            answer = "none"
    return answer


def writable_below(root: str) -> str:
    """Whether anything below opens for writing."""
    for directory, _, files in os.walk(root):
        for file in files:
            path = f"{directory}/{file}"
            if os.access(path, os.W_OK) and write(path) == OPEN:
                return OPEN
    return "EROFS"


def make_device(kind: str, major: int, minor: int) -> str:
    """A device node of one's own."""
    path = f"/tmp/{kind}-{major}-{minor}"  # noqa: S108 - the container's
    os.mknod(path, (stat.S_IFCHR if kind == "char" else stat.S_IFBLK) | 0o600, os.makedev(major, minor))
    Path(path).unlink()
    return OPEN


def raising_files(_: str = "") -> str:
    """A file that raises who runs it."""
    for directory, _below, files in os.walk("/"):
        if directory.startswith(("/proc", "/sys")):
            continue
        for file in files:
            path = f"{directory}/{file}"
            with contextlib.suppress(OSError):
                if os.lstat(path).st_mode & SETUID_OR_SETGID and stat.S_ISREG(os.lstat(path).st_mode):
                    return OPEN
                os.getxattr(path, "security.capability", follow_symlinks=False)
                return OPEN
    return "none"


def status(field: str, *closed: str) -> str:
    """What the kernel says of this process: closed where it is one of these."""
    said = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    return "none" if said[field].split()[0] in closed else OPEN


def limit(*files: str) -> str:
    """A limit of the control group: closed where there is one. Version 1 says none as a huge number or -1, version 2 as `max`."""
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            said = Path(file).read_text().split()[0]
            return "limited" if said.isdigit() and int(said) < 1 << 60 else OPEN
    return OPEN


def route(address: str) -> str:
    """Whether there is a way to an address; nothing is sent."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect((address, 80))
    return OPEN


def connect(address: str, port: int) -> str:
    """A TCP connection."""
    socket.create_connection((address, port), CONNECT_SECONDS).close()
    return OPEN


def connect_unix(*paths: str) -> str:
    """The first of these sockets that somebody listens on; `@…` is an abstract one."""
    answer = "ENOENT"
    for path in paths:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(path.replace("@", "\0", 1))
            except OSError as error:
                answer = answer if error.errno == errno.ENOENT else name(error)
            else:
                return OPEN
    return answer


def name_server(_: str = "") -> str:
    """Whether a name server is told that can be reached."""
    servers = [line.split()[1] for line in Path("/etc/resolv.conf").read_text().splitlines() if line.startswith("nameserver ")]
    elsewhere = [server for server in servers if not server.startswith("127.")]
    return route(elsewhere[0]) if elsewhere else "none"


def search(reversed_needle: str) -> str:
    """Whether a text stands in any file, environment or argument that can be read. It comes reversed: this program's own must not count."""
    needle = reversed_needle[::-1].encode()
    places = [f"{process}/{told}" for process in Path("/proc").glob("[0-9]*") for told in ("environ", "cmdline")]
    for directory, below, files in os.walk("/"):
        below[:] = [entry for entry in below if f"{directory}/{entry}" not in {"//proc", "//sys", "//dev"}]
        places += [f"{directory}/{file}" for file in files]
    for place in places:
        with contextlib.suppress(OSError):
            if Path(place).is_file() and needle in Path(place).read_bytes():
                return OPEN
    return "none"


def name(error: OSError) -> str:
    """An error's name."""
    return errno.errorcode.get(error.errno or 0, type(error).__name__)


VERBS: dict[str, Callable[..., str]] = {
    verb.__name__: verb
    for verb in (
        call, sweep, clone, machine_code, make_socket, terminal, read, write, create, writable_below, make_device, raising_files, status,
        limit, route, connect, connect_unix, name_server, search,
    )
}  # fmt: skip


def apart(verb: Callable[..., str], *arguments: Any) -> str:
    """One attempt in a process of its own: it may be killed, change itself, or never answer."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = verb(*arguments)
        except OSError as error:
            answer = name(error)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the process ends here
            answer = type(error).__name__
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], SECONDS)
    answer = os.read(reading, 200).decode() if ready else "no answer"
    if not ready:
        os.kill(child, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(reading)
    return answer or (signal.Signals(-ended).name if ended < 0 else "no answer")


if __name__ == "__main__":
    json.dump([apart(VERBS[attempt[0]], *attempt[1:]) for attempt in json.load(sys.stdin)], sys.stdout)
