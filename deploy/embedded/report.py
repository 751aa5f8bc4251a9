"""What `status` knows: the supervisor's word on each process, and each process's own word on whether it is ready now."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.embedded.disk import Disk, mib
from deploy.embedded.process import Finished, Process, is_ready
from deploy.embedded.processes import Deployment, table

OK = 0
DEGRADED_CODE = 1
STOPPED_CODE = 3
"""As `systemctl status`: the program is not running."""


@dataclass(frozen=True)
class Line:
    """One process."""

    name: str
    state: str
    ready: bool
    pid: int | None
    starts: int
    reason: str | None = None
    """Why it is down for good."""


@dataclass(frozen=True)
class Report:
    """The whole stack, and the exit code that says it in one number."""

    state: str
    url: str | None
    processes: tuple[Line, ...]
    exit_code: int


async def look(deployment: Deployment) -> Report:
    """Ask every process at once."""
    stored = json.loads(deployment.layout.status.read_text())
    said = {process["name"]: process for process in stored["processes"]}
    lines = tuple(await asyncio.gather(*(_line(process, said.get(process.name, {})) for process in table(deployment))))
    ready = stored["state"] == "ready" and all(line.ready for line in lines)
    state = "degraded" if stored["state"] == "ready" and not ready else stored["state"]
    return Report(state, deployment.config.url, lines, OK if ready else DEGRADED_CODE)


async def _line(process: Process, said: Mapping[str, Any]) -> Line:
    state = str(said.get("state", "waiting"))
    ready = state == "done" if isinstance(process.ready, Finished) else state == "ready" and await is_ready(process.ready)
    return Line(process.name, state, ready, said.get("pid"), int(said.get("starts", 0)), said.get("reason"))


def print_report(report: Report, disk: Disk | None, *, as_json: bool) -> None:
    """Tables for a person, JSON for a program."""
    if as_json:
        document = {key: value for key, value in asdict(report).items() if key != "exit_code"}
        json.dump(document | {"disk": None if disk is None else _document(disk)}, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    shown = Table("process", "state", "ready", "pid", "starts", title=f"{report.state}  {report.url or ''}")
    for line in report.processes:
        shown.add_row(line.name, line.state, "yes" if line.ready else "no", str(line.pid or ""), str(line.starts))
    console = Console()
    console.print(shown)
    for line in report.processes:
        if line.reason is not None:
            console.print(f"{line.name} stays down: {line.reason}", markup=False, highlight=False)
    if disk is not None:
        _print_disk(disk)


def _document(disk: Disk) -> dict[str, object]:
    parts = [asdict(part) | {"near_limit": part.near} for part in disk.parts]
    return {"free_bytes": disk.free_bytes, "parts": parts, "warnings": list(disk.warnings())}


def _print_disk(disk: Disk) -> None:
    """The streams' own parts are many: a person sees those that hold something."""
    shown = Table("part", "takes", "of", "when full", title=f"disk  {mib(disk.free_bytes)} free")
    for part in disk.parts:
        if part.used_bytes:
            limit = "" if part.limit_bytes is None else mib(part.limit_bytes)
            shown.add_row(part.name, mib(part.used_bytes), limit, "" if part.limit_bytes is None else part.at_limit)
    Console().print(shown)
    for warning in disk.warnings():
        Console().print(f"warning: {warning}", style="yellow", highlight=False, markup=False)
