"""A door is one run's way out: its token, its key, its budget and what it has spent. No I/O but the spending's own small file.

The sandbox holds the token, which is worth nothing anywhere else; the key never leaves this process but to the fixed upstream.
"""

import hashlib
import hmac
import json
import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from pydantic import SecretBytes, SecretStr

from services.runner.egress.metering import Spent
from services.runner.egress.silence import Silence

MAX_OF_A_KIND = 8
"""Refusals for one reason that are kept for each run; a sandbox that asks without end must not make us forget the others."""
MAX_REFUSALS = 256
ANY_PATH = "{path:(?s:.*)}"
"""Line ends too, which a plain dot leaves out: what no route takes would be refused without being told."""
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")


@dataclass(frozen=True)
class DoorKey:
    """Which attempt of which run a door belongs to."""

    run_id: str
    fence: int

    def __str__(self) -> str:
        """The name of its directory and of its file."""
        return f"{self.run_id}.{self.fence}"


class Trouble(StrEnum):
    """Why there was no answer of the API's own, where its status does not tell."""

    NONE = ""
    UNREACHABLE = "unreachable"
    BROKE_OFF = "broke_off"
    NOT_THE_API = "not_the_api"


@dataclass(frozen=True)
class Refusal:
    """Something the sandbox asked for and did not get."""

    reason: str
    request_digest: str
    ecosystem: str | None = None
    """Whose packages it was about; None: the model's API."""
    host: str | None = None
    """Whom it would have led to, where that was the reason; as a sandbox or a registry wrote it, if that can be a host."""

    @classmethod
    def of(cls, asked: str, reason: str, ecosystem: str | None = None, host: str | None = None) -> "Refusal":
        """`asked`: method, host and path."""
        digest = hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()
        return cls(reason, digest, ecosystem, host if host is not None and _HOST.fullmatch(host) else None)

    @property
    def kind(self) -> tuple[str, str | None]:
        """What it is like others by."""
        return self.reason, self.ecosystem

    def document(self) -> dict[str, str | None]:
        """The form in which it is stored and told."""
        return {"reason": self.reason, "request_digest": self.request_digest, "ecosystem": self.ecosystem, "host": self.host}


@dataclass
class Spending:
    """What a door has let through so far."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    requests: int = 0
    answers: int = 0
    """Requests that the upstream answered: for some agents, the turns of their model."""
    upstream_status: int = 0
    """The last error status of the upstream that was not followed by a success; 0 where there is none."""
    trouble: str = Trouble.NONE
    """Beside the status, where that is not the upstream's own."""
    refusals: list[Refusal] = field(default_factory=list[Refusal])

    def document(self) -> dict[str, Any]:
        """The form in which it is stored and told."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_usd": round(self.cost_usd, 6),
            "requests": self.requests,
            "answers": self.answers,
            "upstream_status": self.upstream_status,
            "trouble": str(self.trouble),
            "refusals": [refusal.document() for refusal in self.refusals],
        }

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Spending":
        """Read back what `document` gave."""
        refusals = [Refusal(**item) for item in document.pop("refusals")]
        return cls(**document, refusals=refusals)


@dataclass
class Door:
    """One attempt's way out."""

    key: DoorKey
    token: SecretStr
    credential: SecretBytes
    max_cost_usd: float
    journal: Path
    max_answers: int | None = None
    """None: the agent itself keeps to its turns."""
    spending: Spending = field(default_factory=Spending)
    silence: Silence = field(default_factory=Silence)

    def __post_init__(self) -> None:
        """Go on from what was spent before this process was restarted."""
        if self.journal.exists():
            self.spending = Spending.of(cast("dict[str, Any]", json.loads(self.journal.read_text())))

    def admits(self, token: str) -> bool:
        """Whether the caller holds this door's token; in constant time."""
        return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), self.token.get_secret_value().encode())

    @property
    def exhausted(self) -> bool:
        """Whether the budget is used up."""
        return self.spending.cost_usd >= self.max_cost_usd

    @property
    def answered_out(self) -> bool:
        """Whether the upstream has answered as often as it may."""
        return self.max_answers is not None and self.spending.answers >= self.max_answers

    def refuse(self, refusal: Refusal) -> bool:
        """Remember a refusal, once for each request; whether it is worth a word: who asks without end must not fill a log."""
        known = self.spending.refusals
        alike = sum(each.kind == refusal.kind for each in known)
        if refusal in known or alike >= MAX_OF_A_KIND or len(known) >= MAX_REFUSALS:
            return False
        known.append(refusal)
        self._save()
        return True

    def fails(self, status: int, trouble: Trouble) -> None:
        """Remember how the upstream fails, while it is still waited for."""
        self.spending.upstream_status, self.spending.trouble = status, trouble

    def charge(self, spent: Spent, status: int, trouble: Trouble = Trouble.NONE) -> None:
        """Add one response; a failed one is remembered too."""
        failed = status >= 400  # noqa: PLR2004 - RFC 9110 §15.5
        spending = self.spending
        spending.requests += 1
        spending.answers += not failed
        spending.upstream_status = status if failed else 0
        spending.trouble = trouble
        spending.input_tokens += spent.input_tokens
        spending.output_tokens += spent.output_tokens
        spending.cost_usd += spent.cost_usd
        self._save()

    def charge_unanswered(self, spent: Spent) -> None:
        """Add one request that was given up before its answer began; nothing is known of the upstream."""
        self.spending.requests += 1
        self.spending.input_tokens += spent.input_tokens
        self.spending.cost_usd += spent.cost_usd
        self._save()

    def _save(self) -> None:
        """Replace the file at once, so that a kill leaves the old or the new one."""
        draft = self.journal.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(self.spending.document(), file)
        draft.replace(self.journal)
