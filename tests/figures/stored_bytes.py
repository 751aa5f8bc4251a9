"""How many bytes one finished task leaves in each store: `python -m tests.figures.stored_bytes [TASKS]`. For docs/housekeeping.md; no test.

A stack of its own, one git server, one owner, and so many tasks of the agent `shell` that change one file each and are published. What is
counted is what `./async-code status --json` says of each part, before and after, divided by the tasks. One task goes before, so that what
is stored once (a mirror, the first page of a table) does not count.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob
from tests.servers.stack import Person, Stack

SETTINGS = {"SIGNUP": "true", "GIT_ALLOW_PROTOCOLS": "https,http", "GIT_ALLOW_NETWORKS": "127.0.0.0/8"}
AT_ONCE = 5


def main() -> None:
    tasks = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    stack = Stack(SETTINGS)
    with tempfile.TemporaryDirectory() as directory, GitServer(Path(directory)) as server:
        path = server.create("figures")
        git_objects.write_commit(path, git_objects.write_tree(path, {b"readme.md": Blob(b"hello\n")}))
        stack.up()
        try:
            person = stack.user()
            project = person.project(server.url("figures"))
            _run(person, project, 1)
            before = _used(stack)
            _run(person, project, tasks)
            after = _used(stack)
        finally:
            stack.down()
            stack.remove()
    grown = {name: round((used - before[name]) / tasks) for name, used in after.items() if used != before[name]}
    sys.stdout.write(json.dumps(grown, indent=1) + "\n")


def _run(person: Person, project: str, tasks: int) -> None:
    for begin in range(0, tasks, AT_ONCE):
        made = [
            person.task(project, f"echo working on {number}; echo {number} >> readme.md")
            for number in range(begin, min(begin + AT_ONCE, tasks))
        ]
        for task in made:
            ended = person.until(task)
            if ended["state"] != "succeeded":
                raise SystemExit(f"a task ended as {ended['state']}: {ended}")


def _used(stack: Stack) -> dict[str, int]:
    return {part["name"]: part["used_bytes"] for part in stack.status()["disk"]["parts"]}


if __name__ == "__main__":
    main()
