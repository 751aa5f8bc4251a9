"""The repository half of the failure matrix: whatever a host, a history or a rule does, the task ends in words for a person.

Every row that was chosen is handed in at once, since most of them wait: those that never get a connection are tried for half a minute.
"""

import hashlib
import random
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.client import Json
from cli.exits import CliError, Exit
from deploy.embedded.state import Layout
from shared.events.failures import FailureClass
from tests.e2e.failures.rows import Remote, Row, ends, gone
from tests.servers import git_objects
from tests.servers.authority import Authority
from tests.servers.git import GitServer
from tests.servers.git_objects import Blob
from tests.servers.stack import GIT_TOKEN, Person, Stack
from tests.servers.stack_fixtures import FILES

AT_A_TIME = 5
"""Of one person's tasks: the others would wait."""
CHANGE = "echo changed > app.py"
PUBLISHED = Row("succeeded", outcome="published", kept=True, pushed=True)


def clone_refused(code: str) -> Row:
    """The task never got its snapshot."""
    return Row("failed", FailureClass.CLONE_REFUSED, code)


def push_refused(code: str) -> Row:
    """The work is there and was not published."""
    return Row("failed", FailureClass.PUSH_REFUSED, code, kept=True)


@dataclass
class World:
    """The hosts around the stack, and one row's repository on the usual one."""

    stack: Stack
    server: GitServer
    elsewhere: GitServer
    tls: GitServer
    """Its certificate is nobody's; those of the others the operator's authority has signed, each for another name or time."""
    expired: GitServer
    misnamed: GitServer
    trusted: GitServer
    mute_port: int
    """Takes connections and says nothing."""
    name: str

    @property
    def path(self) -> Path:
        """The repository on its host's disk."""
        return self.server.path(self.name)

    def url(self) -> str:
        """The repository's address."""
        return self.server.url(self.name)

    def rewrite(self) -> None:
        """Upstream throws its history away: what was there before is gone."""
        tree = git_objects.write_tree(self.path, {b"new": Blob(b"history\n")})
        git_objects.write_commit(self.path, tree, message="rewritten")
        git_objects.git(self.path, "reflog", "expire", "--expire=now", "--all")
        git_objects.git(self.path, "gc", "--quiet", "--prune=now")

    def lose_mirror(self) -> None:
        """The git service's cache goes, as after a move to another machine."""
        digest = hashlib.sha256(self.url().encode()).hexdigest()
        mirrors = list((Layout(self.stack.root).data("git") / "cache/mirrors").glob(f"*/{digest}.git"))
        assert mirrors
        for mirror in mirrors:
            shutil.rmtree(mirror)


Doing = Callable[[World], Any]


@dataclass(frozen=True)
class Case:
    """One row: the repository it meets, what is asked, what happens before a person approves, how it must end."""

    name: str
    row: Row
    before: Doing = lambda _world: None
    meanwhile: Doing | None = None
    """Happens while the change waits for a person, who then approves it."""
    url: Callable[[World], str] = World.url
    prompt: str = CHANGE
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    commits: int = 1

    def __str__(self) -> str:
        return self.name


def emptied(world: World) -> None:
    git_objects.git(world.path, "update-ref", "-d", "refs/heads/main")


def swollen(world: World) -> None:
    """Over the 64 MiB of the tests' stack, and nothing that compresses."""
    noise = random.Random(1).randbytes(65 << 20)  # noqa: S311 - no secret
    git_objects.git(world.path, "config", "core.compression", "0")
    git_objects.write_commit(world.path, git_objects.write_tree(world.path, {b"noise": Blob(noise)}))


UNREACHABLE = (
    Case("no such host", clone_refused("repository_unreachable"), url=lambda _: "https://no-such-host.invalid/a.git"),
    Case("nobody listens", clone_refused("repository_unreachable"), url=lambda _: "http://127.0.0.1:1/a.git"),
    Case("a pack that breaks off", clone_refused("repository_unreachable"), before=lambda world: world.server.cut_packs(world.name)),
    Case("a host out of order", clone_refused("repository_unreachable"), before=lambda world: world.server.answer_with(world.name, 502)),
)
MUTE = Case(
    "a host that never speaks", clone_refused("repository_unreachable"), url=lambda world: f"https://127.0.0.1:{world.mute_port}/a.git"
)
CLONES = (
    Case("a wrong token", clone_refused("repository_auth"), before=lambda world: world.server.require_token(world.name, "another-token")),
    Case("forbidden", clone_refused("repository_auth"), before=lambda world: world.server.answer_with(world.name, 403)),
    Case("no such repository", clone_refused("repository_not_found"), url=lambda world: world.server.url("never-made")),
    Case("no such branch", clone_refused("ref_not_found"), options={"base_ref": "not-there"}),
    Case("no commit", clone_refused("repository_empty"), before=emptied),
    Case("too large", clone_refused("repository_too_large"), before=swollen),
    Case(
        "redirected to another host",
        clone_refused("repository_moved"),
        before=lambda world: world.server.redirect(world.name, f"http://127.0.0.1:{world.elsewhere.port}"),
    ),
    Case(
        "redirected to the machine's own metadata",
        clone_refused("repository_moved"),
        before=lambda world: world.server.redirect(world.name, "http://169.254.169.254"),
    ),
    Case("a private address", clone_refused("address_refused"), url=lambda _: "http://10.0.0.1/a.git"),
    Case("the metadata's address", clone_refused("address_refused"), url=lambda _: "http://169.254.169.254/a.git"),
    Case("a page", clone_refused("not_a_repository"), before=lambda world: world.server.answer_with_page(world.name, b"<p>Sign in</p>")),
    Case(
        "a longer page",
        clone_refused("not_a_repository"),
        before=lambda world: world.server.answer_with_page(world.name, b"<p>\nIn\n</p>\n"),
    ),
    Case("a certificate nobody signed", clone_refused("repository_certificate"), url=lambda world: world.tls.url("any")),
    Case("a certificate of yesterday", clone_refused("repository_certificate"), url=lambda world: world.expired.url("any")),
    Case("a certificate for another name", clone_refused("repository_certificate"), url=lambda world: world.misnamed.url("any")),
    Case("a certificate of the operator's authority", clone_refused("repository_not_found"), url=lambda world: world.trusted.url("any")),
)
PUSHES = (
    Case(
        "a pre-receive hook says no",
        push_refused("push_refused"),
        meanwhile=lambda world: world.server.deny_pushes(world.name, "Authentication failed for you"),
    ),
    Case(
        "a protected branch",
        push_refused("push_refused"),
        meanwhile=lambda world: world.server.deny_pushes(world.name, "GL-HOOK-ERR: protected branch", "update"),
    ),
    Case(
        "a token that was taken back",
        push_refused("push_auth"),
        meanwhile=lambda world: world.server.require_token(world.name, "another-token"),
    ),
    Case("a token that only reads", push_refused("push_auth"), meanwhile=lambda world: world.server.answer_with(world.name, 403)),
    Case(
        "a repository that went", push_refused("push_not_found"), meanwhile=lambda world: world.path.rename(world.path.with_suffix(".gone"))
    ),
    Case(
        "a repository that moved",
        push_refused("push_not_found"),
        meanwhile=lambda world: world.server.redirect(world.name, f"http://127.0.0.1:{world.elsewhere.port}"),
    ),
    Case("a history rewritten meanwhile", PUBLISHED, meanwhile=World.rewrite, commits=3),
    Case("a mirror lost meanwhile", PUBLISHED, meanwhile=World.lose_mirror, commits=3),
    Case(
        "a history rewritten and a mirror lost",
        push_refused("base_gone"),
        meanwhile=lambda world: (world.rewrite(), world.lose_mirror()),
        commits=3,
    ),
    Case("a first commit rewritten and a mirror lost", PUBLISHED, meanwhile=lambda world: (world.rewrite(), world.lose_mirror())),
    Case("a push whose answer was lost", PUBLISHED, meanwhile=lambda world: world.server.lose_push_answers(world.name)),
)
KINDS = (
    Case("only a new file", PUBLISHED, prompt="echo new > new.txt"),
    Case("only a mode", PUBLISHED, prompt="chmod +x app.py"),
    Case("only a name", PUBLISHED, prompt="mv app.py renamed.py"),
    Case("only a deletion", PUBLISHED, prompt="rm -r dir"),
    Case("everything deleted", PUBLISHED, prompt="rm -r app.py run.sh dir"),
    Case("nothing", Row("succeeded", outcome="no_changes"), prompt="touch app.py"),
)
TAKEN = Case("a branch of that name with other content", push_refused("branch_taken"), meanwhile=lambda _: None)


@dataclass
class Begun:
    """A row whose task was handed in."""

    world: World
    person: Person
    task: str


@pytest.fixture(scope="module")
def begun(
    request: pytest.FixtureRequest,
    stack: Stack,
    git_server: GitServer,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Begun]]:
    """Every chosen row's task."""
    specs: list[Any] = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    chosen = [spec.params["case"] for spec in specs if spec is not None and isinstance(spec.params.get("case"), Case)]
    place = tmp_path_factory.mktemp("hosts")
    (place / "ca").mkdir()
    with ExitStack() as hosts:
        elsewhere = hosts.enter_context(GitServer(place / "elsewhere"))
        tls, expired, misnamed, trusted = [
            hosts.enter_context(GitServer(place / name, tls=context))
            for name, context in (
                ("tls", Authority(place / "ca").server_context("127.0.0.1")),
                ("expired", authority.server_context("127.0.0.1", expired=True)),
                ("misnamed", authority.server_context("git.example")),
                ("trusted", authority.server_context("127.0.0.1")),
            )
        ]
        mute_port = hosts.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        people, tasks = list[Person](), dict[str, Begun]()
        for number, case in enumerate(sorted(chosen, key=lambda case: case not in (MUTE, *UNREACHABLE))):
            if number % AT_A_TIME == 0:
                people.append(stack.user())
                host = f"127.0.0.1:{git_server.port}"
                people[-1].client.post("/v1/credentials", {"purpose": "git_token", "host": host, "value": GIT_TOKEN})
            world = World(stack, git_server, elsewhere, tls, expired, misnamed, trusted, mute_port, f"row-{number}")
            tasks[case.name] = Begun(world, people[-1], _hand_in(case, world, people[-1]))
        yield tasks
        assert elsewhere.seen == []
        assert all(not seen.authorized for host in (tls, expired, misnamed) for seen in host.seen)


def _hand_in(case: Case, world: World, person: Person) -> str:
    path, commit = world.server.create(world.name), ()
    for number in range(case.commits):
        tree = git_objects.write_tree(path, {**FILES, **({b"number": Blob(b"%d" % number)} if case.commits > 1 else {})})
        commit = (git_objects.write_commit(path, tree, *commit, message=f"commit {number}"),)
    world.server.require_token(world.name, GIT_TOKEN)
    case.before(world)
    project = person.project(case.url(world), publish_policy="auto" if case.meanwhile is None else "ask")
    return person.task(project, case.prompt, title=case.name, **case.options)


def _ended(case: Case, begun: dict[str, Begun]) -> Json:
    row = begun[case.name]
    remote = Remote(row.world.server, row.world.name)
    if case.meanwhile is not None:
        waiting = row.person.until(row.task)
        assert waiting["state"] == "awaiting_approval", waiting
        case.meanwhile(row.world)
        row.person.client.post(f"/v1/tasks/{row.task}/approve", {"tree_sha": waiting["tree_sha"]})
        row.person.until(row.task, "succeeded", "failed", "cancelled", "timed_out")
    return ends(row.world.stack, row.person, row.task, case.row, remote)


@pytest.mark.parametrize("case", CLONES, ids=str)
def test_no_snapshot(case: Case, begun: dict[str, Begun]) -> None:
    task = _ended(case, begun)
    assert (task["run_ids"], task["base_sha"], task["kept"]) == ([], None, None)


@pytest.mark.parametrize("case", KINDS, ids=str)
def test_every_kind_of_change(case: Case, begun: dict[str, Begun]) -> None:
    task, world = _ended(case, begun), begun[case.name].world
    if case.row.pushed:
        assert git_objects.tree_of(world.path, task["branch"]) == task["tree_sha"]
        assert git_objects.git(world.path, "rev-parse", f"{task['branch']}^").decode().strip() == task["base_sha"]


@pytest.mark.parametrize("case", PUSHES, ids=str)
def test_what_happens_before_the_push(case: Case, begun: dict[str, Begun]) -> None:
    task, world = _ended(case, begun), begun[case.name].world
    if case.row.pushed:
        assert git_objects.tree_of(world.path, task["branch"]) == task["tree_sha"]
        assert git_objects.git(world.path, "rev-list", "--count", task["branch"]).decode().strip() == str(case.commits + 1)
        return
    person = begun[case.name].person
    assert b"changed" in person.client.text(f"/v1/tasks/{task['id']}/patch")  # its work stays reviewable


@pytest.mark.parametrize("case", [TAKEN], ids=str)
def test_a_branch_of_that_name_stays_what_it_was(case: Case, begun: dict[str, Begun]) -> None:
    row = begun[case.name]
    waiting = row.person.until(row.task)
    theirs = git_objects.write_commit(
        row.world.path, git_objects.write_tree(row.world.path, {b"theirs": Blob(b"x")}), branch=waiting["branch"]
    )
    row.person.client.post(f"/v1/tasks/{row.task}/approve", {"tree_sha": waiting["tree_sha"]})
    row.person.until(row.task, "succeeded", "failed")
    task = ends(row.world.stack, row.person, row.task, case.row)
    assert row.world.server.branch(row.world.name, task["branch"]) == theirs


@pytest.mark.parametrize("case", UNREACHABLE, ids=str)
def test_what_is_tried_for_a_while(case: Case, begun: dict[str, Begun]) -> None:
    task = _ended(case, begun)
    assert task["failure"]["retryable"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("case", [MUTE], ids=str)
def test_what_is_tried_for_longer(case: Case, begun: dict[str, Begun]) -> None:
    """Half a minute each time."""
    row = begun[case.name]
    gone(lambda: [] if row.person.get(row.task)["ended_at"] else [row.task], "tasks on their way", seconds=300)
    assert _ended(case, begun)["failure"]["retryable"]


URLS = {
    "https://user:secret@example.com/a.git": "url_credentials",
    "https://token@example.com/a.git": "url_credentials",
    "ext::sh -c touch% /tmp/x": "url_characters",
    "ext::sh": "url_scheme",
    "fd::17": "url_scheme",
    "-u./payload": "url_scheme",
    "--upload-pack=touch": "url_scheme",
    "ssh://example.com/a.git": "url_scheme",
    "git@example.com:a.git": "url_scheme",
    "file:///etc": "url_scheme",
    "/etc": "url_scheme",
    "https:///a.git": "url_host",
    "https://-oProxyCommand=x/a.git": "url_host",
    "https://example.com": "url_path",
    "https://example.com/a/../b.git": "url_path",
    "https://example.com:99999/a.git": "url_syntax",
    "https://example.com/a.git?x": "url_characters",
    "https://example.com/a.git\n": "url_characters",
}
REFS = ("-u", "--upload-pack=touch x", "a..b", "a b", "refs/heads/", "x.lock", "HEAD~1", "@{-1}", "a:b", "*", "")


def _fault(somebody: Person, path: str, body: Json) -> tuple[str, str]:
    with pytest.raises(CliError) as refused:
        somebody.client.post(path, body)
    assert refused.value.code == Exit.REFUSED, body
    (fault,) = (refused.value.problem or {})["errors"]
    assert fault["message"], body
    assert "secret" not in str(refused.value.problem), body
    return fault["field"], fault["rule"]


def test_what_the_api_refuses_at_once(person: Person) -> None:
    project = person.client.post("/v1/projects", {"name": "p"})["id"]
    repositories = f"/v1/projects/{project}/repositories"
    found = {url: _fault(person, repositories, {"url": url}) for url in URLS}
    assert found == {url: ("body.url", rule) for url, rule in URLS.items()}
    for ref in REFS:
        body = {"url": "https://example.com/a.git", "default_base_ref": ref}
        assert _fault(person, repositories, body) == ("body.default_base_ref", "ref_format"), ref
    person.client.post(repositories, {"url": "https://example.com/a.git"})
    for ref in REFS:
        body = {"project_id": project, "prompt": "x", "agent": "shell", "base_ref": ref}
        assert _fault(person, "/v1/tasks", body) == ("body.base_ref", "ref_format"), ref
    assert person.client.get("/v1/tasks")["items"] == []
