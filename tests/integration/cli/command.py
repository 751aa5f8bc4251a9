"""`python -m cli` as somebody runs it: as a process of its own, with pipes or on a terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
TIMEOUT_SECONDS = 60
COMMAND = ("/usr/bin/env", "--default-signal=INT", sys.executable, "-m", "cli")
"""With Ctrl-C as a terminal's shell leaves it: whatever runs in the background of a script inherits that it is ignored."""


@dataclass(frozen=True)
class Person:
    """Somebody with a home directory and a server."""

    home: Path
    server: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "ASYNC_CODE_URL": self.server,
            "ASYNC_CODE_STATE_DIR": str(self.home / "no-stack"),
        }

    @property
    def session_file(self) -> Path:
        return self.home / ".config/async-code/sessions.json"

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[bytes]":
        """Start a command and leave it running."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run a command with its output in pipes."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env=self.environment | environment,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def on_terminal(self, *arguments: str, columns: int = 100, typed: str = "") -> tuple[int, str]:
        """Run a command on a terminal at which `typed` is typed; gives the exit code and all that reached the terminal."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        environment = {**self.environment, "TERM": "xterm-256color"}
        command = [*COMMAND, *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        os.write(ours, typed.encode())
        read = bytearray()
        try:
            while chunk := os.read(ours, 65_536):
                read += chunk
        except OSError:  # EIO: the other side is closed (Linux)
            pass
        finally:
            os.close(ours)
        return process.wait(TIMEOUT_SECONDS), read.decode()
