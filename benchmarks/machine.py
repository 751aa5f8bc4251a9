"""What machine the figures are from: without that they say nothing."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import load


def described() -> dict[str, str]:
    """Processor, memory, disk, kernel, versions, and how busy it is now."""
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processors": f"{os.cpu_count()} × {_line('/proc/cpuinfo', 'model name')}",
        "memory": f"{int(_line('/proc/meminfo', 'MemTotal').split()[0]) // 1024} MiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "docker": _said("docker", "version", "--format", "{{.Server.Version}}"),
        "git": _said("git", "--version"),
        "code": _said("git", "describe", "--always", "--dirty"),
        "load before": f"{load():.2f}",
    }


def _line(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0 (unknown)"


def _said(*argv: str) -> str:
    done = subprocess.run(("/usr/bin/env", *argv), check=False, capture_output=True, text=True, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"
