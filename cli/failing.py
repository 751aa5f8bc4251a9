"""How every command ends that cannot go on: two lines and an exit code, as JSON where `--json` was asked for, and never a traceback.

An unexpected failure is named by its type alone, as its text may hold what was typed; ASYNC_CODE_DEBUG=1 shows the traceback.
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import typer
from typer.exceptions import TyperException

from cli import printing
from cli.exits import CliError, Exit
from cli.text import escape_json, line

_ADVICE_COLUMNS = 2_000


def run(command: Callable[[], Any]) -> NoReturn:
    """Run it and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal of another encoding shows what it can
    try:
        code = _code(command)
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go()
        code = Exit.FAILED
    sys.exit(int(code))


def _code(command: Callable[[], Any]) -> int:
    try:
        return command() or Exit.OK
    except BrokenPipeError:
        raise
    except TyperException as error:
        return _usage(error)
    except (typer.Abort, KeyboardInterrupt):
        printing.note("Interrupted.")
        return Exit.INTERRUPTED
    except Exception as error:  # the last catch: nothing goes on after it
        if os.environ.get("ASYNC_CODE_DEBUG") == "1":
            raise
        return report(_known(error), sys.argv[1:])


def _known(error: Exception) -> CliError:
    if isinstance(error, CliError):
        return error
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return CliError(f"{where}{error.strerror}", "Check the path and its permissions.")
    return CliError(f"Something unexpected failed here: {type(error).__name__}.", "For the details, run it with ASYNC_CODE_DEBUG=1.")


def report(error: CliError, arguments: Sequence[str]) -> int:
    """Say what is wrong and what to do; gives the exit code."""
    if as_json(arguments):
        sys.stderr.write(escape_json(json.dumps(document(error))) + "\n")
    else:
        printing.note(("async-code: ", "red"), line(str(error), _ADVICE_COLUMNS))
        if error.advice:
            printing.note(line(error.advice, _ADVICE_COLUMNS))
    return error.code


def document(error: CliError) -> dict[str, Any]:
    """The error as a problem document (RFC 9457): the server's, where it came from there, with the exit code beside."""
    own = {"type": "about:blank", "title": error.code.name.lower().replace("_", " "), "detail": str(error), "advice": error.advice}
    return {**own, **error.problem, "exit_code": int(error.code)}


def as_json(arguments: Sequence[str]) -> bool:
    """Whether `--json` was asked for; also where the rest of the command line makes no sense."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def _usage(error: TyperException) -> int:
    context: Any = getattr(error, "ctx", None)
    text = error.format_message().replace("Value error, ", "")
    if type(error).__name__ == "NoArgsIsHelpError":  # a group that was named alone shows its commands
        print(text)
        return Exit.OK
    advice = f"See: {context.command_path} --help" if context else "See: ./async-code --help"
    return report(CliError(text, advice, Exit(error.exit_code)), sys.argv[1:])


def _let_go() -> None:
    """Whoever read has gone: nothing that is still held back may fail again when the interpreter ends."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
