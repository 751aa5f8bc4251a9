"""Logs: one JSON object per line on standard error, from our code and from the libraries alike, redacted last.

Nothing reaches a line that `redaction` has not seen. A line that cannot be rendered is replaced by one that says so, never by its content.
"""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict, WrappedLogger

from shared.telemetry import redaction

_LOST = json.dumps({"event": "log_line_lost", "level": "error"})
_QUIET = {"asyncio": logging.WARNING, "httpcore": logging.WARNING, "httpx": logging.WARNING, "hpack": logging.WARNING}


def configure(service: str, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Set up logging for this process. Call once, before anything that logs is built; `adopt` takes in what libraries add later."""
    before: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _named(service),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *before],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                _redact,
                _render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, quiet))
    # `logging` prints the raw arguments of a line that it could not format.
    logging.raiseExceptions = False
    logging.setLogRecordFactory(_record)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    adopt()


def adopt() -> None:
    """Take the handlers away that libraries have given to their own loggers, so that their lines go through ours."""
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            logger.handlers = []
            logger.propagate = True


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Say that a line was lost, and nothing of what was in it."""
        del record
        try:
            self.stream.write(_LOST + self.terminator)
        except (OSError, ValueError):
            return  # nobody reads the stream any more: there is nowhere left to say so


class _Record(logging.LogRecord):
    """A record that is redacted when it is made, for handlers that a library adds behind our back."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.msg, dict):
            return  # one of structlog's, on its way to our own handler
        self.msg = redaction.redact_text(str(self.msg))
        arguments = self.args
        if isinstance(arguments, Mapping):
            self.args = {key: _argument(value) for key, value in arguments.items()}
        elif arguments:
            self.args = tuple(_argument(value) for value in arguments)
        if self.exc_info and self.exc_info[0] is not None:
            self.exc_text = redaction.redact_text("".join(traceback.format_exception(*self.exc_info)))


def _record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    return _Record(*args, **kwargs)


def _argument(value: Any) -> Any:
    """Numbers stay numbers, for `%d`; everything else becomes its redacted text."""
    if value is None or isinstance(value, (bool, int, float)):
        return redaction.redact(value)
    redacted = redaction.redact(value)
    return redacted if isinstance(redacted, str) else str(redacted)


def _named(service: str) -> structlog.typing.Processor:
    def name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        return event

    return name


def _redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return cast("MutableMapping[str, Any]", redaction.redact(event))


def _render(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """ASCII JSON: no line can pose as two, or as an instruction to a terminal. The exact secrets are looked for once more in the line."""
    return redaction.redact_known(json.dumps(event, default=str))


def _uncaught(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger(__name__).critical("uncaught", exc_info=(kind, error, where))
