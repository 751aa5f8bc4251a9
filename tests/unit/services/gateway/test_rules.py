"""The rules of what people may send: addresses, branch names, prompts, titles, cursors."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from services.gateway import paging
from services.gateway.credentials.schemas import NewCredential
from services.gateway.errors import GatewayError
from services.gateway.repositories import refs
from services.gateway.repositories.urls import InvalidUrl, host_of
from services.gateway.tasks.schemas import NewTask
from services.gateway.tasks.submission import digest, title_of
from shared.events import ids
from shared.events.values import Purpose

ALL = ("https", "http", "file", "ssh")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com/team/repo.git", "example.com"),
        ("https://Example.COM:8443/repo", "example.com:8443"),
        ("http://[::1]:3000/a/b", "[::1]:3000"),
        ("file:///srv/git/repo.git", ""),
    ],
)
def test_an_address_has_a_host(url: str, host: str) -> None:
    assert host_of(url, ALL) == host


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("https://user:token@example.com/r", "url_credentials"),
        ("https://token@example.com/r", "url_credentials"),
        ("git@example.com:team/r.git", "url_scheme"),
        ("ext::sh -c whoami", "url_characters"),
        ("ext::sh", "url_scheme"),
        ("https:/example.com/r", "url_scheme"),
        ("--upload-pack=x", "url_scheme"),
        ("https://example.com", "url_path"),
        ("https://example.com/", "url_path"),
        ("https://example.com/../etc", "url_path"),
        ("https:///r", "url_host"),
        ("https://exa mple.com/r", "url_characters"),
        ("https://example.com/r?x=1", "url_characters"),
        ("https://example.com/r#x", "url_characters"),
        ("https://example.com/r\n", "url_characters"),
        ("https://example.com/\x00", "url_characters"),
        ("https://-evil/r", "url_host"),
        ("https://example.com:99999/r", "url_syntax"),
        ("https://example.com:/r", "url_host"),
        ("https://bücher.example/r", "url_characters"),
        ("file://host/srv/r", "url_host"),
        ("https://example.com/" + "a" * 3000, "url_too_long"),
    ],
)
def test_an_address_that_breaks_a_rule_is_refused_by_it(url: str, rule: str) -> None:
    with pytest.raises(InvalidUrl) as refused:
        host_of(url, ALL)
    assert refused.value.rule == rule


def test_only_allowed_schemes_pass() -> None:
    with pytest.raises(InvalidUrl, match="must begin with one of: https://"):
        host_of("http://example.com/r", ("https",))


@given(st.text(max_size=80))
def test_no_text_breaks_the_judge_of_addresses(text: str) -> None:
    try:
        host = host_of(text, ALL)
    except InvalidUrl:
        return
    assert "@" not in host
    assert text.isascii()


@pytest.mark.parametrize("name", ["main", "release/1.2", "feature-x", "größe", "a@b", "v1.0"])
def test_a_branch_name(name: str) -> None:
    assert refs.check(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "--upload-pack=x",
        "/a",
        "a/",
        "a//b",
        "a..b",
        "a.lock",
        "a/b.lock/c",
        ".a",
        "a/.b",
        "a.",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a\nb",
        "a\x00",
        "a\x7f",
        "@",
        "a@{1}",
        "x" * 201,
    ],
)
def test_what_is_no_branch_name(name: str) -> None:
    with pytest.raises(ValueError, match="branch name"):
        refs.check(name)


def new_task(**fields: object) -> NewTask:
    return NewTask.model_validate({"project_id": ids.fresh(), "agent": "shell", "prompt": "x"} | fields)


@pytest.mark.parametrize(
    ("fields", "field", "rule"),
    [
        ({"prompt": ""}, "prompt", "prompt_blank"),
        ({"prompt": " \n\t"}, "prompt", "prompt_blank"),
        ({"prompt": "a\x00b"}, "prompt", "no_nul"),
        ({"prompt": "é" * 50_001}, "prompt", "prompt_too_long"),
        ({"prompt": "\ud800"}, "prompt", "string_unicode"),
        ({"agent": "Shell; rm"}, "agent", "string_pattern_mismatch"),
        ({"model": "a b"}, "model", "string_pattern_mismatch"),
        ({"title": "a\nb"}, "title", "one_line"),
        ({"title": "x" * 201}, "title", "string_too_long"),
        ({"base_ref": "-x"}, "base_ref", "ref_format"),
        ({"limits": {"memory_mib": 1}}, "limits.memory_mib", "greater_than_equal"),
        ({"limits": {"unknown": 1}}, "limits.unknown", "extra_forbidden"),
        ({"project_id": "x"}, "project_id", "string_pattern_mismatch"),
        ({"credential_ids": ["x"]}, "credential_ids.0", "string_pattern_mismatch"),
        ({"owner": ids.fresh()}, "owner", "extra_forbidden"),
    ],
)
def test_a_task_that_breaks_a_rule_names_field_and_rule(fields: dict[str, object], field: str, rule: str) -> None:
    with pytest.raises(ValidationError) as refused:
        new_task(**fields)
    assert [(".".join(map(str, fault["loc"])), fault["type"]) for fault in refused.value.errors()] == [(field, rule)]


def test_the_longest_prompt_is_taken_as_it_is() -> None:
    assert new_task(prompt="é" * 50_000).prompt == "é" * 50_000
    assert new_task(prompt="  keep\r\n\tthis  ").prompt == "  keep\r\n\tthis  "


@pytest.mark.parametrize("value", ["", "a b", "a\n", "é", "a" * 8193, "x\x7f"])
def test_a_value_that_is_no_token_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        NewCredential(purpose=Purpose.GIT_TOKEN, value=SecretStr(value))
    assert refused.value.errors()[0]["type"] == "credential_value"
    assert "a" * 100 not in str(refused.value)


@pytest.mark.parametrize("host", ["exa mple.com", "https://example.com", "example.com/x", "a:99999", "user@host"])
def test_what_is_no_host(host: str) -> None:
    with pytest.raises(ValidationError):
        NewCredential(purpose=Purpose.GIT_TOKEN, value=SecretStr("abc"), host=host)


def test_a_host_is_kept_in_lowercase_with_its_port() -> None:
    assert NewCredential(purpose=Purpose.GIT_TOKEN, value=SecretStr("abc"), host="Example.com:8443").host == "example.com:8443"


@given(st.text(min_size=1).filter(str.strip))
def test_any_prompt_gives_a_title(prompt: str) -> None:
    title = title_of(prompt)
    assert 1 <= len(title) <= 120
    assert new_task(title=title).title == title


def test_a_title_is_the_first_line_that_says_something() -> None:
    assert title_of("\n  \n  Fix\tit  now \nand more") == "Fix it now"
    assert title_of("x" * 500) == "x" * 119 + "…"


def test_a_digest_depends_on_salt_and_prompt() -> None:
    assert len({digest(b"1" * 32, "a"), digest(b"2" * 32, "a"), digest(b"1" * 32, "b")}) == 3


UUID = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2500, 1, 1)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_a_cursor_comes_back_exact(moment: datetime) -> None:
    cursor = paging.Cursor(moment.replace(tzinfo=UTC), ids.fresh())
    assert paging.decode(cursor.encode()) == cursor


@pytest.mark.parametrize("text", ["", "x", "1", "1.2", f"99999999999999999999.{UUID}", "1." + "-" * 36, f"-1.{UUID}"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(GatewayError) as refused:
        paging.decode(text)
    assert refused.value.status == 422


def test_a_page_knows_whether_more_follows() -> None:
    now = datetime.now(UTC)
    rows = [(now - timedelta(seconds=number), ids.fresh()) for number in range(3)]
    assert paging.Window(3, None).next_cursor(rows) is None
    assert paging.Window(2, None).next_cursor(rows) == paging.Cursor(*rows[1]).encode()
