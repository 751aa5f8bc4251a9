import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.git.globs import GlobSet, compile_glob
from services.git.protected import Protection, Touched
from services.git.trees import FILE, GITLINK, SYMLINK


def changed(path: str, *, mode: bytes = FILE, old_path: str | None = None) -> Touched:
    return Touched((old_path or path).encode(), path.encode(), FILE, mode)


@pytest.mark.parametrize(
    "path",
    [
        ".github/workflows/ci.yml",
        ".github/workflows/deep/er.yaml",
        ".GitHub/Workflows/CI.yml",
        ".github/actions/x/index.js",
        "action.yml",
        "tools/setup/action.yaml",
        ".gitlab-ci.yml",
        "sub/.gitlab-ci.yml",
        ".gitlab-ci-extra.yaml",
        ".circleci/config.yml",
        "Jenkinsfile",
        "ci/Jenkinsfile.release",
        "azure-pipelines.yml",
        "azure-pipelines-nightly.yml",
        "bitbucket-pipelines.yml",
        ".drone.yml",
        ".woodpecker.yml",
        ".woodpecker/build.yml",
        ".buildkite/pipeline.yml",
        ".gitea/workflows/a.yml",
        ".forgejo/workflows/a.yml",
        "CODEOWNERS",
        "docs/CODEOWNERS",
        ".github/codeowners",
        ".gitmodules",
        "sub/.gitattributes",
        ".lfsconfig",
        ".husky/pre-commit",
        ".pre-commit-config.yaml",
        "lefthook.yml",
        ".devcontainer/devcontainer.json",
        ".vscode/tasks.json",
        ".travis.yml",
        ".claude/settings.json",
        ".mcp.json",
        ".github\u200c/workflows/ci.yml",
        ".github/workflows./ci.yml",
        ".github /workflows/ci.yml",
        ".husky. ./pre-commit",
        ".github\\workflows\\ci.yml",
        ".envrc::$DATA",
    ],
)
def test_what_ci_hooks_and_reviews_obey_is_protected(path: str) -> None:
    assert Protection().covers(changed(path))


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "src/app.py",
        ".github/ISSUE_TEMPLATE/bug.md",
        "workflows/ci.yml",
        "docs/actions.yml",
        "my-Jenkinsfile.md",
        "x.gitmodules",
    ],
)
def test_other_files_are_not(path: str) -> None:
    assert not Protection().covers(changed(path))


def test_a_rename_out_of_or_into_a_protected_place_counts() -> None:
    assert Protection().covers(changed("old.yml", old_path=".github/workflows/ci.yml"))
    assert Protection().covers(changed(".github/workflows/ci.yml", old_path="new.yml"))


@pytest.mark.parametrize("path", [".github", ".github/workflows", ".circleci", ".GITHUB"])
def test_a_link_on_the_way_to_a_protected_place_counts(path: str) -> None:
    assert Protection().covers(changed(path, mode=SYMLINK))
    assert Protection().covers(changed(path, mode=GITLINK))


def test_submodules_always_wait() -> None:
    assert Protection().covers(changed("vendor/x", mode=GITLINK))
    assert Protection().covers(Touched(b"vendor/x", b"vendor/x", GITLINK, b"000000"))


def test_what_a_protected_link_leads_to_is_protected() -> None:
    protection = Protection()
    protection.follow({b".github/workflows": b"../ci/current", b"ci/current": b"v2", b"docs/latest": b"v3"})
    assert protection.covers(changed("ci/v2/build.yml"))
    assert protection.covers(changed("ci/current", mode=SYMLINK))
    assert protection.covers(changed("ci", mode=SYMLINK))
    assert not protection.covers(changed("docs/v3/index.md"))
    assert not protection.covers(changed("ci/v1/build.yml"))


def test_links_in_a_circle_or_out_of_the_tree_end() -> None:
    protection = Protection()
    protection.follow({b".github": b"a", b"a": b".github", b".circleci": b"../../etc", b"Jenkinsfile": b"/etc/passwd"})
    assert not protection.covers(changed("src/app.py"))


def test_a_project_adds_patterns() -> None:
    protection = Protection(["deploy/**", "*.tf", "/Makefile", "src/*/secret?.py"])
    for path in ("deploy/x/y", "infra/main.tf", "Makefile", "src/a/secret1.py"):
        assert protection.covers(changed(path))
    for path in ("sub/Makefile", "src/a/b/secret1.py", "tf"):
        assert not protection.covers(changed(path))


def test_too_many_or_too_long_patterns_protect_everything() -> None:
    assert Protection(["x"] * 201).covers(changed("README.md"))
    assert Protection(["x" * 513]).covers(changed("README.md"))


def test_blank_patterns_are_ignored() -> None:
    assert not Protection(["", " ", "/", "."]).covers(changed("README.md"))


@given(st.text(alphabet="ab*?/", max_size=30), st.text(alphabet="ab/", min_size=1, max_size=60))
def test_no_pattern_hangs_or_fails(pattern: str, path: str) -> None:
    GlobSet([compile_glob(pattern or "x")]).matches(path)
    GlobSet([compile_glob(pattern or "x")]).is_above(path)


@given(st.lists(st.text(alphabet="ab", min_size=1, max_size=3), min_size=1, max_size=4))
def test_a_path_matches_itself_and_all_below(parts: list[str]) -> None:
    glob = GlobSet([compile_glob("/" + "/".join(parts))])
    assert glob.matches("/".join(parts))
    assert glob.matches("/".join([*parts, "below"]))
    assert not glob.matches("/".join(["above", *parts]))


def test_a_person_is_told_which_pattern_a_change_meets() -> None:
    protection = Protection(["deploy/**"])
    protection.follow({b".github": b"ci"})
    assert protection.reason(changed(".GitHub/workflows/ci.yml")) == ".github/workflows/**"
    assert protection.reason(changed("new.yml", old_path="docs/CODEOWNERS")) == "CODEOWNERS"
    assert protection.reason(changed("deploy/a/b.tf")) == "deploy/**"
    assert protection.reason(changed("vendor/x", mode=GITLINK)) == "submodule"
    assert protection.reason(changed("ci/build.yml")) == "symbolic link"
    assert protection.reason(changed("src/app.py")) is None
