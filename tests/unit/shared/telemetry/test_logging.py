"""What stands in a line, whoever wrote it: JSON, with context, without secrets."""

import io
import json
import logging as stdlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from shared.telemetry import logging, redaction

SECRET = 'pa"ss\nwörd-"of-all"'


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = stdlib.getLogger()
    before = (root.handlers, root.level, stdlib.raiseExceptions, stdlib.getLogRecordFactory(), sys.excepthook, threading.excepthook)
    stream = io.StringIO()
    logging.configure("test", stream=stream)
    redaction.forget(SECRET)
    yield stream
    root.handlers, level, stdlib.raiseExceptions, factory, sys.excepthook, threading.excepthook = before
    root.setLevel(level)
    stdlib.setLogRecordFactory(factory)
    stdlib.captureWarnings(capture=False)
    structlog.reset_defaults()


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_the_libraries_lines_have_one_form(lines: io.StringIO) -> None:
    structlog.get_logger("ours").info("run_started", run_id="r")
    stdlib.getLogger("theirs").warning("connected to %s after %d ms", "host", 7, extra={"subject": "evt.x"})
    ours, theirs = read(lines)
    assert ours.items() >= {"event": "run_started", "run_id": "r", "level": "info", "service": "test", "logger": "ours"}.items()
    assert theirs.items() >= {"event": "connected to host after 7 ms", "level": "warning", "service": "test", "subject": "evt.x"}.items()
    assert ours["timestamp"].endswith("Z")


def test_context_is_bound_once_per_message(lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(task="t"):
        structlog.get_logger().info("one")
        stdlib.getLogger("theirs").info("two")
    structlog.get_logger().info("three")
    assert [line.get("task") for line in read(lines)] == ["t", "t", None]


def raise_it() -> None:
    local = SECRET
    raise ValueError(local) from KeyError({"nested": SECRET})


def test_a_traceback_is_there_without_its_secret(lines: io.StringIO) -> None:
    try:
        raise_it()
    except ValueError:
        structlog.get_logger().exception("failed")
        stdlib.getLogger("theirs").exception("failed %s", SECRET)
    for line in read(lines):
        assert "raise_it" in line["exception"]
        assert "[redacted]" in line["exception"]
    assert_clean(lines.getvalue())


def test_an_uncaught_error_is_a_line(lines: io.StringIO) -> None:
    try:
        raise_it()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    [line] = read(lines)
    assert line["event"] == "uncaught"
    assert_clean(lines.getvalue())


def test_a_line_that_cannot_be_formatted_does_not_show_its_arguments(lines: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    stdlib.getLogger("theirs").error("%d of %d", SECRET)  # noqa: PLE1206 - that is the point
    structlog.get_logger().info("next")
    assert read(lines)[-1]["event"] == "next"
    assert_clean(lines.getvalue() + "".join(capsys.readouterr()))


def test_a_library_with_a_handler_of_its_own_writes_no_secret_either(lines: io.StringIO) -> None:
    own = io.StringIO()
    library = stdlib.getLogger("library")
    library.propagate = False
    library.addHandler(stdlib.StreamHandler(own))
    try:
        raise_it()
    except ValueError:
        library.exception("about %s and %s", SECRET, {"value": SECRET})
    assert "about [redacted]" in own.getvalue()
    assert_clean(own.getvalue())
    logging.adopt()
    library.warning("from now on")
    assert read(lines)[-1]["event"] == "from now on"
    assert "from now on" not in own.getvalue()


def test_the_messaging_librarys_lines_come_through_ours(lines: io.StringIO) -> None:
    from faststream._internal.logger.logging import logger as theirs  # noqa: PLC0415 - it gets a handler when it is imported

    logging.adopt()
    theirs.info("hello")
    assert read(lines)[-1]["event"] == "hello"


def test_one_call_is_one_line_whatever_is_in_it(lines: io.StringIO) -> None:
    structlog.get_logger().info("one\nline\u2028\x1b[31m\ud800", **{"na\nme": "\r\n"})
    assert len(lines.getvalue().splitlines()) == 1
    assert lines.getvalue().isascii()


@given(st.data())
def test_a_named_secret_is_in_no_line(data: st.DataObject) -> None:
    secret = data.draw(st.text(min_size=8, max_size=30).filter(lambda text: text not in redaction.REDACTED))
    stream = io.StringIO()
    handler_of_before = stdlib.getLogger().handlers, stdlib.getLogRecordFactory(), sys.excepthook, threading.excepthook
    try:
        logging.configure("test", stream=stream)
        redaction.forget(secret)
        values = st.recursive(
            st.sampled_from([secret, secret.encode(), 1, None, ValueError(secret), f"in {secret} text"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["key", secret, f"a{secret}"]), inner, max_size=3),
            max_leaves=6,
        )
        structlog.get_logger(secret).info(data.draw(st.sampled_from(["event", secret])), value=data.draw(values))
        stdlib.getLogger("theirs").info(f"%s {secret.replace('%', '%%')}", data.draw(values))  # noqa: G004
    finally:
        stdlib.getLogger().handlers, factory, sys.excepthook, threading.excepthook = handler_of_before
        stdlib.setLogRecordFactory(factory)
        structlog.reset_defaults()
    assert secret not in stream.getvalue()
    assert json.dumps(secret)[1:-1] not in stream.getvalue()


def assert_clean(text: str) -> None:
    assert text
    for spelling in (SECRET, json.dumps(SECRET)[1:-1], repr(SECRET)[1:-1], "of-all"):
        assert spelling not in text
