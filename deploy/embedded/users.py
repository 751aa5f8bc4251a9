"""The system users that the stack runs as: one per service when root starts it, the caller alone otherwise.

A user of its own is what keeps one service from reading another's keys on this machine. Nothing here ever removes a user: files
that belonged to one must not fall to the next account that gets its number.
"""

import os
import pwd
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIX = "async-code-"
SERVICES = ("gateway", "scheduler", "git", "runner", "egress", "audit", "auth", "nats", "postgres", "model")
OPERATOR = "operator"
"""Who started the stack: provisions, and owns what no service may read."""

DOCKER_SOCKET = Path("/var/run/docker.sock")
DOCKER_HOST = f"unix://{DOCKER_SOCKET}"


class UsersFailed(RuntimeError):
    """The system users could not be made."""


@dataclass(frozen=True)
class User:
    """An account of this machine and the further groups it gets; `switch` says whether a process must change to it."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    switch: bool = False

    def own(self, path: Path) -> None:
        """Hand `path` to this user; nothing to do where there is one user only."""
        if self.switch:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def ensure(docker_host: str = DOCKER_HOST) -> Mapping[str, User]:
    """The user of every service, made where missing (root only)."""
    operator = User(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid())
    if os.geteuid() != 0:
        return dict.fromkeys((*SERVICES, OPERATOR), operator)
    return {OPERATOR: operator, **{service: _system_user(service, docker_host) for service in SERVICES}}


def one_trust_domain(users: Mapping[str, User]) -> bool:
    """Whether every service runs as the same account, so that each could read the others' keys."""
    return len({user.uid for user in users.values()}) == 1


def _system_user(service: str, docker_host: str) -> User:
    name = f"{PREFIX}{service}"
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        entry = _create(name)
    return User(name, entry.pw_uid, entry.pw_gid, _docker_group(docker_host) if service == "runner" else (), switch=True)


def _create(name: str) -> pwd.struct_passwd:
    nowhere = ("--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin")
    command = ["/usr/sbin/useradd", "--system", "--user-group", *nowhere, name]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsersFailed(f"could not create the system user {name}: {getattr(error, 'stderr', '') or error}") from error
    return pwd.getpwnam(name)


def _docker_group(docker_host: str) -> tuple[int, ...]:
    """The group that may use the engine's socket: of all services the runner alone gets it."""
    try:
        status = Path(docker_host.removeprefix("unix://")).stat()
    except OSError:  # none yet, or not on this machine
        return ()
    if not stat.S_ISSOCK(status.st_mode) or not status.st_mode & stat.S_IWGRP:
        return ()
    return (status.st_gid,)
