"""What a server's refusal means for a person at a command line: problem documents (RFC 9457) as errors with advice and an exit code."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

import httpx

from cli.exits import CliError, Exit
from cli.identity import LOGIN

_CODES: Mapping[int, Exit] = {
    HTTPStatus.UNAUTHORIZED: Exit.NOT_SIGNED_IN,
    HTTPStatus.NOT_FOUND: Exit.NOT_FOUND,
    HTTPStatus.GONE: Exit.NOT_FOUND,
    HTTPStatus.BAD_GATEWAY: Exit.UNREACHABLE,
    HTTPStatus.SERVICE_UNAVAILABLE: Exit.UNREACHABLE,
    HTTPStatus.GATEWAY_TIMEOUT: Exit.UNREACHABLE,
}
_ADVICE: Mapping[str, str] = {
    "unauthenticated": LOGIN,
    "insufficient-scope": "Use a token with that scope: ./async-code token create",
    "person-needed": "Unset ASYNC_CODE_TOKEN, and run: ./async-code login",
    "not-yet": "Watch it with: ./async-code task watch",
    "gone": "It is not kept any more.",
    "wrong-state": "See: ./async-code task show",
    "invalid": "",
    "unsupported-media-type": "Is this the right version of the command line for that server?",
}
"""The API's advice is for programs; here it is said for a person, by the last part of the problem's type."""


def of(answer: httpx.Response) -> CliError:
    """A refusal as an error: by its problem document, or by its status where it has none."""
    status = answer.status_code
    code = _CODES.get(status, Exit.REFUSED if answer.is_client_error else Exit.FAILED)
    try:
        found: object = answer.json()
    except ValueError:
        found = None
    if not isinstance(found, dict):
        return CliError(f"The server answered {status}.", "Is this an Async Code server?", code, problem={"status": status})
    problem = cast("dict[str, Any]", found)
    advice = _ADVICE.get(str(problem.get("type", "")).rpartition(":")[2], str(problem.get("advice") or ""))
    return CliError(_text(problem) or f"The server answered {status}.", advice, code, problem={"status": status, **problem})


def _text(problem: Mapping[str, Any]) -> str:
    """The fields at fault, each with its rule; else what happened."""
    faults = problem.get("errors")
    if isinstance(faults, list) and faults:
        return "; ".join(_fault(fault) for fault in cast("list[object]", faults))
    return str(problem.get("detail") or problem.get("title") or "")


def _fault(fault: object) -> str:
    if not isinstance(fault, dict):
        return str(fault)
    known = cast("dict[str, Any]", fault)
    field = str(known.get("field", "")).removeprefix("body.").removeprefix("query.")
    return f"{field}: {known.get('message', '')}" if field else str(known.get("message", ""))
