"""An upstream's answer that is none: how it is remembered, whether waiting may help, and how it is said to the agent. Pure.

What is said is in the answer's own words where the upstream's vendor wrote them, without what looks like a secret. What it says about the
key stays here: some vendors repeat a part of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from services.runner.egress.doors import Trouble
from services.runner.egress.vendors.vendor import Vendor
from shared.telemetry.redaction import redact_text

BAD_REQUEST, UNAUTHORISED, FORBIDDEN, BAD_GATEWAY = 400, 401, 403, 502  # RFC 9110 §15
_ERRORS, _SERVER_ERRORS = 400, 500
TEMPORARY = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may be answered later; 529 is Anthropic's, for an overload."""
_SAID_TO_AGENT = {UNAUTHORISED: FORBIDDEN}
"""The agents ask again after a 401, in vain (seen: for 10 s), and do not after a 403."""
_ABOUT_THE_KEY = {UNAUTHORISED: "The model key was refused.", FORBIDDEN: "The model key may not do this."}
_MAX_WORDS = 500


@dataclass(frozen=True)
class Failed:
    """One failure. `status` is how it is remembered; `said` and `words` are what the agent is answered when it has to stand."""

    status: int
    trouble: Trouble
    said: int
    words: str
    kind: str = "api_error"
    temporary: bool = False

    def given_up(self, seconds: float) -> "Failed":
        """As the agent hears it once waiting has been no help: by a status after which it does not begin to wait itself."""
        words = f"{self.words} This run waited {seconds:.0f} s for it."
        return Failed(self.status, self.trouble, BAD_REQUEST, words, self.kind)


UNREACHABLE = Failed(BAD_GATEWAY, Trouble.UNREACHABLE, BAD_GATEWAY, "The model API could not be reached.", temporary=True)
REDIRECT = Failed(BAD_GATEWAY, Trouble.NOT_THE_API, BAD_REQUEST, "The model API answered with a redirect.")
UNFINISHED = Failed(BAD_GATEWAY, Trouble.BROKE_OFF, BAD_REQUEST, "The model API ends none of its answers well.")
NO_API = Failed(BAD_GATEWAY, Trouble.NOT_THE_API, BAD_REQUEST, "What answered is not the model API.")


def speaks(content_type: str) -> bool:
    """Whether an answer of this type can be an API's. A sign-in page or a proxy's notice is HTML, also where it says that all is well."""
    return "json" in content_type or "event-stream" in content_type


def of(vendor: Vendor, status: int, headers: Mapping[str, str], body: bytes) -> Failed:
    """What an answer is that has no good status, or is of no type an API speaks."""
    if _SERVER_ERRORS > status >= _ERRORS and "html" not in headers.get("content-type", ""):
        return _refused(vendor.meaning(status, body), _words(body))
    if status >= _SERVER_ERRORS:
        return Failed(status, Trouble.NONE, status, f"The model API answered {status}: {_words(body)}", temporary=status in TEMPORARY)
    return NO_API if status < 300 or status >= _ERRORS else REDIRECT  # noqa: PLR2004 - RFC 9110 §15.4


def _refused(status: int, words: str) -> Failed:
    temporary = status in TEMPORARY
    text = _ABOUT_THE_KEY.get(status) or (f"The model API answered {status}: {words}" if temporary else words)
    kind = "permission_error" if status in _ABOUT_THE_KEY else "invalid_request_error"
    return Failed(status, Trouble.NONE, _SAID_TO_AGENT.get(status, status), text, kind, temporary=temporary)


def _words(body: bytes) -> str:
    """The message in an error's body, as both vendors write it; of anything else its beginning."""
    text = body.decode("utf-8", "replace")
    try:
        error: Any = json.loads(text)["error"]
        said: Any = cast("dict[str, Any]", error)["message"] if isinstance(error, dict) else error
    except (ValueError, RecursionError, LookupError, TypeError):
        said = text
    return redact_text(said if isinstance(said, str) else text)[:_MAX_WORDS]
