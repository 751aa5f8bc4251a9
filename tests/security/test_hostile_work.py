"""Agents that do what they can with their work tree: the branch holds what they made, or they are told why not; CI waits for a person."""

from concurrent.futures import ThreadPoolExecutor

from cli.client import Json
from tests.servers import git_objects
from tests.servers.git import GitServer
from tests.servers.stack import Person

PUBLISHED = {
    "another .git": "rm -rf .git; git init -q /tmp/o; echo 'gitdir: /tmp/o' > .git; echo b > b",
    "a monitor of files": "git config core.fsmonitor 'touch /workspace/no'; echo n > n",
    "excludes of its own": "git config core.worktree /tmp; echo '*' > .git/info/exclude; echo m > m",
    "marks in the index": "git update-index --assume-unchanged app.py; git update-index --skip-worktree run.sh; echo e | tee app.py run.sh",
    "a file that hides its change": "touch -r app.py /tmp/t; printf \"print('hellO')\\n\" > app.py; touch -r /tmp/t app.py",
    "what outlives the agent": "(trap '' TERM; while :; do echo x >> race; done) & (setsid sleep 600 & kill -STOP $!) & sleep 1; exit 0",
    "full disks": "head -c 1G /dev/zero > /tmp/x || true; head -c 1G /dev/zero > ~/x || true; echo y > y",
    "odd names": "touch -- -rf '*' $'a\\nb' $'\\xff\\xfe' ' x ' $'r\\u202etxt.exe' \"$(printf 'a%.0s' {1..255})\"",
}
HELD = {
    "another case": "mkdir -p .GitHub/Workflows; echo x > .GitHub/Workflows/x.yml",
    "invisible characters": "mkdir -p $'.git\\u200chub/workflows'; echo x > $'.git\\u200chub/workflows/x.yml'",
    "trailing dots": "mkdir -p '.github /workflows.'; echo x > '.github /workflows./x.yml'",
    "by a link": "mkdir ci .github; echo 'on: push' > ci/x.yml; ln -s ../ci .github/workflows",
    "a submodule's address": "printf '[submodule \"x\"]\\n\\tpath = s\\n\\turl = https://evil.example/x\\n' > .gitmodules",
    "attributes": "echo 'app.py -diff' > .gitattributes; echo evil > app.py",
}
REFUSED = {
    "a repository inside": ("git init -q sub; echo y > sub/y", "nested_repository"),
    "a name that some system takes for .git": ("mkdir git~1; echo x > git~1/x", "pack_refused"),
    "a link beside its like": ("mkdir A; echo 3 > A/x; ln -s /etc a", "pack_refused"),
}


def test_hostile_work_trees(person: Person, project: str, repository: str, git_server: GitServer) -> None:
    def ended(script: str) -> Json:
        return person.until(person.task(project, script, limits={"disk_mib": 64, "memory_mib": 512}))

    everything = PUBLISHED | HELD | {name: script for name, (script, _) in REFUSED.items()}
    with ThreadPoolExecutor(5) as pool:
        tasks = dict(zip(everything, pool.map(ended, everything.values()), strict=True))
    path = git_server.path(repository)
    for name in PUBLISHED:
        task = tasks[name]
        assert (task["state"], task["outcome"]) == ("succeeded", "published"), (name, task)
        assert git_objects.tree_of(path, task["branch"]) == task["tree_sha"], name
    assert {name: tasks[name]["state"] for name in HELD} == dict.fromkeys(HELD, "awaiting_approval")
    codes = {name: code for name, (_, code) in REFUSED.items()}
    assert {name: tasks[name]["failure"] and tasks[name]["failure"]["code"] for name in REFUSED} == codes
    assert set(git_objects.branches(path)) == {"main"} | {tasks[name]["branch"] for name in PUBLISHED}
    changed = git_objects.git(path, "diff", "--name-only", "main", tasks["marks in the index"]["branch"]).split()
    assert changed == [b"app.py", b"run.sh"]
