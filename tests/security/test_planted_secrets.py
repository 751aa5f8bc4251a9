"""Secrets are planted where people put them; then everything the system wrote, showed or runs is searched for them."""

import base64
import re
import subprocess
import urllib.parse
from collections.abc import Iterable, Iterator
from io import FileIO
from pathlib import Path

import pytest

from cli.client import Json
from deploy.embedded.scripted.steps import Run, Say
from tests.servers.stack import GIT_TOKEN, MODEL_KEYS, SHELL_SECRET, Person, Stack
from tests.servers.stack_fixtures import ModelThread

_MAPPING = re.compile(rb"^(?P<begin>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<rights>r|-).*?^Rss: +(?P<resident>\d+) kB$", re.MULTILINE | re.DOTALL)
CONTROL = "planted-as-a-control-and-no-secret"
PROMPT = "Look around, and say what the runner has read as well."
SECRETS = (GIT_TOKEN, *MODEL_KEYS.values(), SHELL_SECRET)


def _forms(secret: str) -> set[bytes]:
    """A secret as it is, and as it travels: base64 at each alignment, percent-encoded, in hexadecimal."""
    raw = secret.encode()
    shifted = {base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)}
    return {raw, raw.hex().encode(), urllib.parse.quote(secret, safe="").encode(), *shifted}


FORMS = {form: secret for secret in SECRETS for form in _forms(secret)}


def _found(content: bytes) -> set[str]:
    return {secret for form, secret in FORMS.items() if form in content}


def _processes() -> Iterator[tuple[str, bytes]]:
    """Arguments and environment of every process of this machine, sandboxes included, but this one and what it started by hand."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                command, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
            except OSError:
                continue
            if b"pytest" not in command:
                yield process.name, command + b"\n" + environment


def _remembered(pid: int, words: Iterable[str]) -> set[str]:
    """Which of these stand in what a process has in memory, as its machine's root reads it."""
    found, process = set[str](), Path(f"/proc/{pid}")
    with (process / "mem").open("rb", buffering=0) as memory:
        for mapping in _MAPPING.finditer((process / "smaps").read_bytes()):
            begin, end = int(mapping["begin"], 16), int(mapping["end"], 16)
            if mapping["rights"] == b"r" and mapping["resident"] != b"0":
                piece = _piece(memory, begin, end)
                found |= {word for word in words if word.encode() in piece}
    return found


def _piece(memory: FileIO, begin: int, end: int) -> bytes:
    """One mapping; nothing of those that are no memory (a device's)."""
    try:
        memory.seek(begin)
        return memory.read(end - begin) or b""
    except OSError:
        return b""


def _docker(*arguments: str) -> bytes:
    return subprocess.run(["/usr/bin/env", "docker", *arguments], check=True, capture_output=True).stdout


@pytest.fixture
def worked(stack: Stack, person: Person, project: str, model: ModelThread) -> list[Json]:
    """A run of each agent that looked for keys everywhere it could, and wrote what it saw; while it runs, its container is looked at."""
    look = (
        "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'; grep -rs planted /home /tmp /run /etc /base | head -c 10000"
    )
    model.model.play([Run(f"{look}; echo changed > changed; sleep 3"), Say("Seen.")])
    agents = {"claude-code": "anthropic", "codex": "openai"}
    return [_looked(stack, person, person.task(project, PROMPT, agent=agent, title=CONTROL), vendor) for agent, vendor in agents.items()]


def _looked(stack: Stack, person: Person, task: str, vendor: str) -> Json:
    next(event for event in person.follow(task) if event.name == "output" and event.data["event"]["kind"] == "tool_call")
    for container in stack.containers():
        assert _found(_docker("inspect", container)) == set()
        assert not re.search(rb"sk-(ant|proj)", _docker("inspect", container))
    assert {name: found for name, content in _processes() if (found := _found(content))} == {}
    # The process that holds Docker never sees a key; the one that opens keys has this one in memory just now.
    assert _remembered(stack.pid("runner"), (*SECRETS, PROMPT)) == {PROMPT}
    assert _remembered(stack.pid("egress"), MODEL_KEYS.values()) >= {MODEL_KEYS[vendor]}
    ended = person.until(task)
    assert ended["outcome"] == "published", ended
    return ended


def test_no_secret_is_written_or_shown_anywhere(stack: Stack, person: Person, worked: list[Json]) -> None:
    stack.command("status", "--json")
    # Whatever Postgres and NATS still hold in memory goes to disk first.
    stack.down()
    try:
        found = {
            str(path.relative_to(stack.root)): _found(path.read_bytes())
            for path in stack.root.rglob("*")
            if path.is_file() and not path.is_symlink()
        }
        assert {path: secrets for path, secrets in found.items() if secrets} == {}
        # The search sees what is there: the title is stored in plain text.
        assert any(CONTROL.encode() in path.read_bytes() for path in stack.root.rglob("*") if path.is_file() and not path.is_symlink())
    finally:
        stack.up()
    for task in worked:
        shown = person.client.text(f"/v1/tasks/{task['id']}/messages") + person.client.text(f"/v1/audit?task_id={task['id']}")
        assert _found(shown) == set()
        assert b"changed" in shown
    assert _found(person.client.text("/v1/credentials")) == set()
