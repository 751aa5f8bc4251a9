"""A few works through the whole stack, judged as `tests/integration/fidelity` judges many: what is published is what the work tree held."""

import base64
import hashlib
import json
import random
import shlex
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cli.client import Json
from shared.events.changes import ChangesDocument
from tests.e2e.failures.rows import gone
from tests.integration.fidelity import worktree
from tests.integration.fidelity.oracle import Oracle
from tests.integration.fidelity.test_elsewhere import BASE as ELSEWHERE
from tests.integration.fidelity.verdict import applied_to_a_checkout, files_of, judge_document
from tests.integration.fidelity.workshop import EDITOR
from tests.integration.fidelity.worlds import DEEP, World
from tests.servers import git_import
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob
from tests.servers.stack import GIT_TOKEN, Person

SIZE = 50 * 1024 * 1024
EDIT = ("append", "app.py", "more = 1\n")
WORLDS = {
    "modes, links, binaries": World(
        {
            b"run.sh": Blob(b"#!/bin/sh\n"), b"tool": Blob(b"x\n", "100755"), b"link": Blob(b"run.sh", "120000"),
            b"out": Blob(b"../../etc/passwd", "120000"), b"b.bin": Blob(bytes(range(256))), b"empty": Blob(b""),
            b"moved": Blob(b"line\n" * 40),
        },
        (
            ("chmod", "run.sh", "755"), ("chmod", "tool", "644"), ("instead", "link", "now a file\n"), ("link", "empty", "missing"),
            ("disguise", "b.bin"), ("rename", "moved", "d/e/moved"), ("directory", "d/nothing"), ("delete", "out"),
        ),
    ),
    "line endings": World(
        {
            b".gitattributes": Blob(b"* text=auto\n*.win text eol=crlf\n*.id ident\n*.wide working-tree-encoding=UTF-16LE\n"),
            b"a.win": Blob(b"one\ntwo\n"), b"b.win": Blob(b"never\r\nfitted\r\n"), b"c.txt": Blob(b"kept\r\n"),
            b"d.id": Blob(b"$Id$\n"), b"e.wide": Blob("wïde\n".encode()),
        },
        (
            ("append", "a.win", "three\r\n"), ("touch", "b.win"), ("append", "c.txt", "more\r\n"), ("append", "d.id", "more\n"),
            ("append", "e.wide", "m\0\n\0"), ("git", "stash", "--quiet"), ("git", "stash", "pop", "--quiet"),
            ("write", "new.win", "a\r\nb\n"),
        ),
    ),
    "names": World(
        {b"app.py": Blob(b"a\n"), b"new\nline": Blob(b"odd\n"), b"\xff\xfe": Blob(b"odd\n"), DEEP: Blob(b"deep\n")},
        (
            ("append", "new\nline", "x\n"), ("write", "\xfe", "x\n"), ("write", "-rf", "x\n"), ("write", "q\"uo'te\\", "x\n"),
            ("write", "x" * 255, "x\n"), ("write", "dot.", "x\n"), ("write", " blank ", "x\n"), ("append", DEEP.decode(), "x\n"),
        ),
    ),
    "the agent's own git": World(
        {b"app.py": Blob(b"a\n"), b"b": Blob(b"b\n"), b".gitignore": Blob(b"*.log\n")},
        (
            EDIT, ("git", "commit", "--quiet", "--all", "--message", "mine"), ("git", "update-index", "--assume-unchanged", "b"),
            ("disguise", "b"), ("write", "x.log", "ignored\n"), ("git", "add", "--force", "x.log"), ("write", ".git/info/exclude", "*\n"),
            ("write", "seen", "x\n"), ("git", "config", "core.autocrlf", "true"), ("delete", ".git/index"),
        ),
    ),
    "pointers and a submodule that nobody touches": World(ELSEWHERE, (EDIT,)),
}  # fmt: skip
REFUSED = {
    "lfs_content": World(ELSEWHERE, (EDIT, ("write", "logo.psd", "real content\n"))),
    "submodule_content": World(ELSEWHERE, (EDIT, ("write", "vendor/lib/file", "lost\n"))),
    "nested_repository": World(ELSEWHERE, (EDIT, ("git", "clone", "--quiet", ".", "inner"))),
}


@pytest.mark.timeout(400)
def test_what_is_published_is_what_the_work_tree_held(person: Person, git_server: GitServer) -> None:
    person.client.post("/v1/credentials", {"purpose": "git_token", "host": f"127.0.0.1:{git_server.port}", "value": GIT_TOKEN})
    everything: Mapping[str, World] = WORLDS | REFUSED
    names = {title: f"fidelity-{number}" for number, title in enumerate(everything)}

    def ended(title: str) -> Json:
        world, name = everything[title], names[title]
        git_import.commits(git_server.create(name), [world.base])
        script = f"python3 -I -c {shlex.quote(EDITOR)} <<'END' | base64 --wrap=2000\n{json.dumps(world.operations)}\nEND\n"
        return person.until(person.task(person.project(git_server.url(name)), script))

    with ThreadPoolExecutor(5) as pool:
        tasks = dict(zip(everything, pool.map(ended, everything), strict=True))
    assert {code: tasks[code]["failure"]["code"] for code in REFUSED} == {code: code for code in REFUSED}
    for title, world in WORLDS.items():
        _judge(person, git_server.path(names[title]), world, tasks[title])


@pytest.mark.timeout(500)
def test_files_of_50_mb_in_and_out(person: Person, git_server: GitServer) -> None:
    noise = random.Random(50).randbytes(SIZE)  # noqa: S311 - what no compression makes small
    repository = git_server.create("fidelity-50-mb")
    git_import.commits(repository, [{b"noise": Blob(noise)}])
    script = f"sha256sum noise | cut -c-64; head -c {SIZE} /dev/urandom > fresh; echo more >> noise; sha256sum fresh | cut -c-64"
    task_id = person.task(person.project(git_server.url("fidelity-50-mb")), script)
    # A busy machine writes 50 MB a dozen times, so it may take long.
    gone(lambda: [] if person.get(task_id)["ended_at"] else [task_id], "tasks on their way", seconds=360)
    task = person.get(task_id)
    assert (task["state"], task["outcome"]) == ("succeeded", "published"), task
    lines = [line["event"]["text"] for line in person.client.get(f"/v1/tasks/{task['id']}/messages")["messages"]]
    before, fresh = [text for text in "\n".join(lines).splitlines() if " " not in text]
    published = {path: hashlib.sha256(blob.content).hexdigest() for path, blob in files_of(repository, task["branch"]).items()}
    assert hashlib.sha256(noise).hexdigest() == before
    changes = person.client.get(f"/v1/tasks/{task['id']}/changes")
    assert {file["path"]: (file["status"], file["content"]) for file in changes["files"]} == {
        "fresh": ("added", "too_large"),
        "noise": ("modified", "too_large"),
    }
    assert b"The patch is larger than" in person.client.text(f"/v1/tasks/{task['id']}/patch")  # 100 MB that do not compress
    assert published == {b"noise": hashlib.sha256(noise + b"more\n").hexdigest(), b"fresh": fresh}


def _judge(person: Person, repository: Path, world: World, task: Json) -> None:
    assert (task["state"], task["outcome"]) == ("succeeded", "published"), task
    lines = [line["event"] for line in person.client.get(f"/v1/tasks/{task['id']}/messages")["messages"]]
    before, after = worktree.read(base64.b64decode("".join(line["text"] for line in lines if " " not in line["text"])))
    patch, document = (person.client.text(f"/v1/tasks/{task['id']}/{what}") for what in ("patch", "changes"))
    with tempfile.TemporaryDirectory() as room:
        places = [Path(room) / name for name in ("oracle", "apply")]
        for place in places:
            place.mkdir()
        expected = Oracle(world.base, before, after, places[0]).expected()
        assert not expected.codes
        assert files_of(repository, task["branch"]) == expected.files
        judge_document(ChangesDocument.model_validate_json(document), world.base, expected.files)
        (Path(room) / "patch").write_bytes(patch)

        assert applied_to_a_checkout(repository, "main", Path(room) / "patch", places[1]) == task["tree_sha"]
