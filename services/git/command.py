"""The one place that starts git. Every command gets a bare environment, its own HOME, limits, and no configuration but ours.

Never hands git a secret by argument, environment, URL or file; never runs git in a directory a sandbox wrote; never uses a shell.
"""

import asyncio
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL
from typing import IO

from pydantic import SecretStr

from services.git import stalls
from services.git.credentials import Login
from services.git.errors import CommandFailed, CommandTimedOut, OutputTooLarge
from services.git.resolution import Destination

MIB = 1024 * 1024
_STDERR_BYTES = 64 * 1024
_ASKPASS = Path(__file__).with_name("askpass")

_HARDENED = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.logAllRefUpdates=false",
    "credential.helper=",
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "http.followRedirects=false",  # git otherwise follows the first 302, also to an inner service; also stops http-alternates
    "http.sslVerify=true",
    "http.proxy=",
    "http.lowSpeedLimit=1000",  # ends also what outlives a killed service
    "http.lowSpeedTime=60",
    "transfer.bundleURI=false",
    "fetch.unpackLimit=1",
    "fetch.writeCommitGraph=false",
    "pack.writeReverseIndex=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
)


@dataclass(frozen=True, slots=True)
class Caps:
    """What one command may use. None: not limited beyond the machine's own limits."""

    timeout_seconds: float = 120.0
    output_bytes: int = 64 * MIB
    """Of standard output that is read into memory."""
    file_bytes: int | None = None
    """Of each file the command or its children write."""
    memory_bytes: int | None = None
    """Of address space: a small pack can unfold into any size."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A resolved destination and, where one is stored, the login for it."""

    destination: Destination
    login: Login | None = None

    @property
    def url(self) -> str:
        """The URL handed to git; it never holds a credential."""
        return self.destination.address.url


@dataclass(frozen=True, slots=True)
class Completed:
    """How a command ended. `truncated`: the output reached its cap and the command was killed, as asked for."""

    code: int
    output: bytes
    complaint: bytes = field(repr=False)
    truncated: bool = False

    @property
    def text(self) -> str:
        """The output as one stripped line of ASCII: for commands that answer with an object's name."""
        return self.output.decode("ascii", "replace").strip()

    def required(self) -> "Completed":
        """This, or CommandFailed when the exit code is not 0."""
        if self.code != 0:
            raise CommandFailed(f"git ended with {self.code}: {self.complaint[-2000:].decode('utf-8', 'replace')}")
        return self


class Git:
    """Starts git commands in bare repositories of our own.

    `home` is a directory of this service (0700) that stays empty but for what we write; `ca_bundle` replaces the system's roots. A remote's
    host that has not come to speak after `stall_seconds` is not waited for.
    """

    def __init__(self, home: Path, *, ca_bundle: Path | None = None, stall_seconds: float = 20.0) -> None:
        found = {name: shutil.which(name) for name in ("git", "prlimit")}
        if None in found.values():
            raise CommandFailed("git and prlimit (util-linux) must be installed")
        self._git, self._prlimit = str(found["git"]), str(found["prlimit"])
        self._ca_bundle = ca_bundle
        self._stall_seconds = stall_seconds
        self._home = home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / "tmp").mkdir(mode=0o700, exist_ok=True)
        # Only for directories the operator named: elsewhere git's own check refuses repositories that other users own.
        self._trusting = home / "trusting.gitconfig"
        self._trusting.write_text("[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n")

    async def run(
        self,
        *arguments: str | Path,
        repository: Path | None = None,
        remote: Remote | None = None,
        stdin: bytes | Path = b"",
        stdout: Path | None = None,
        environment: Mapping[str, str] | None = None,
        config: Sequence[str] = (),
        caps: Caps | None = None,
        truncate: bool = False,
        hold: Sequence[int] = (),
    ) -> Completed:
        """Run one command to its end; a non-zero exit is an answer, not an error.

        `hold` are descriptors (locks) that stay open as long as the command or a child of it lives. Raises CommandTimedOut, or
        OutputTooLarge unless `truncate`.
        """
        caps = caps or Caps()
        with ExitStack() as stack:
            source = stack.enter_context(stdin.open("rb") if isinstance(stdin, Path) else _in_memory("input", stdin))
            sink = stack.enter_context(stdout.open("wb")) if stdout is not None else asyncio.subprocess.PIPE
            login, descriptors = stack.enter_context(_handed_over(remote.login if remote else None))
            process = await asyncio.create_subprocess_exec(
                *self._command_line(arguments, repository, remote, config, caps),
                stdin=source,
                stdout=sink,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment(remote) | login | dict(environment or {}),
                cwd=self._home,
                pass_fds=(*hold, *descriptors),
                start_new_session=True,
            )
            if remote is None:
                return await _finish(process, caps, truncate=truncate)
            stalling = asyncio.create_task(self._ended_if_stalled(process, remote))
            try:
                done = await _finish(process, caps, truncate=truncate)
            finally:
                stalling.cancel()
            if done.code != 0 and stalling.done() and not stalling.cancelled() and stalling.result():
                raise CommandTimedOut("the host takes connections and does not go on")
            return done

    async def _ended_if_stalled(self, process: asyncio.subprocess.Process, remote: Remote) -> bool:
        """Whether the command was killed because the remote's host does not come to speak."""
        await asyncio.sleep(self._stall_seconds)
        if not await stalls.is_stalled(remote.destination):
            return False
        _kill(process)
        return True

    def _command_line(
        self, arguments: Sequence[str | Path], repository: Path | None, remote: Remote | None, config: Sequence[str], caps: Caps
    ) -> list[str]:
        limits = ["--core=0"]
        if caps.file_bytes is not None:
            limits.append(f"--fsize={caps.file_bytes}")
        if caps.memory_bytes is not None:
            limits.append(f"--as={caps.memory_bytes}")
        line = [self._prlimit, *limits, "--", self._git, "--no-pager", "--no-replace-objects"]
        if repository is not None:
            line.append(f"--git-dir={repository}")
        for setting in (*_HARDENED, *self._remote_config(remote), *config):
            line += ["-c", setting]
        return line + [str(argument) for argument in arguments]

    def _remote_config(self, remote: Remote | None) -> list[str]:
        if remote is None:
            return []
        pin = remote.destination.pin
        bundle = self._ca_bundle
        return [*([f"http.curloptResolve={pin}"] if pin else []), *([f"http.sslCAInfo={bundle}"] if bundle else [])]

    def _environment(self, remote: Remote | None) -> dict[str, str]:
        trusting = remote is not None and remote.destination.trusted_directory
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._home),
            "XDG_CONFIG_HOME": str(self._home),
            "TMPDIR": str(self._home / "tmp"),
            "LC_ALL": "C",
            "TZ": "UTC",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(self._trusting) if trusting else "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "GIT_ALLOW_PROTOCOL": remote.destination.address.protocol if remote is not None else "none",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
        }


@contextmanager
def _handed_over(login: Login | None) -> Generator[tuple[dict[str, str], tuple[int, ...]]]:
    """The login in two files of anonymous memory, which only this command and its children inherit."""
    if login is None:
        yield {}, ()
        return
    with ExitStack() as stack:
        username = stack.enter_context(_in_memory("username", _line(login.username)))
        password = stack.enter_context(_in_memory("password", _line(login.password)))
        names = {"ASYNC_CODE_USERNAME_FD": str(username.fileno()), "ASYNC_CODE_PASSWORD_FD": str(password.fileno())}
        yield {"GIT_ASKPASS": str(_ASKPASS), **names}, (username.fileno(), password.fileno())


def _line(secret: SecretStr) -> bytes:
    return secret.get_secret_value().encode() + b"\n"


def _in_memory(name: str, content: bytes) -> IO[bytes]:
    """An anonymous file: a pipe would have to be written to while git may end at any moment."""
    file = os.fdopen(os.memfd_create(name, os.MFD_CLOEXEC), "w+b", buffering=0)
    file.write(content)
    file.seek(0)
    return file


async def _finish(process: asyncio.subprocess.Process, caps: Caps, *, truncate: bool) -> Completed:
    try:
        async with asyncio.timeout(caps.timeout_seconds):
            (output, over), complaint = await asyncio.gather(_read(process, caps.output_bytes), _read_some(process.stderr))
            code = await process.wait()
    except TimeoutError as error:
        raise CommandTimedOut(f"git took longer than {caps.timeout_seconds} seconds") from error
    finally:
        if process.returncode is None:
            _kill(process)
            await asyncio.shield(process.wait())
    if over and not truncate:
        raise OutputTooLarge(f"git said more than {caps.output_bytes} bytes")
    return Completed(code, output, complaint, truncated=over)


async def _read(process: asyncio.subprocess.Process, limit: int) -> tuple[bytes, bool]:
    if process.stdout is None:
        return b"", False
    kept = bytearray()
    while chunk := await process.stdout.read(MIB):
        kept += chunk
        if len(kept) > limit:
            _kill(process)
            return bytes(kept[:limit]), True
    return bytes(kept), False


async def _read_some(stream: asyncio.StreamReader | None) -> bytes:
    """The end of what is said, however much is said."""
    kept = b""
    while stream is not None and (chunk := await stream.read(_STDERR_BYTES)):
        kept = (kept + chunk)[-_STDERR_BYTES:]
    return kept


def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill the whole group: git's own children hold the connection."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, SIGKILL)
