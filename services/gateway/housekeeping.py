"""What the gateway forgets, and when: answers to requests that nobody sends again, tokens that ended, and tasks whose time is over. Pure.

The rules hold for everybody's rows, so they say to row-level security what they are for (`gateway.prunes` in the migrations).
"""

from datetime import timedelta
from typing import Final

from services.gateway.settings import Settings
from shared.events.values import ENDED
from shared.store.pruning import Rule

_PRUNES: Final = {"gateway.prunes": "on"}
_ENDED_TOKENS: Final = timedelta(days=30)
"""So long an owner sees that a token was revoked or has expired, and that somebody still uses it."""


def rules(settings: Settings) -> tuple[Rule, ...]:
    """By the operator's settings."""
    keys = Rule(
        table="gateway.idempotency_keys",
        since=("created_at",),
        kept=timedelta(hours=settings.idempotency_hours),
        settings=_PRUNES,
    )
    tokens = Rule(table="gateway.api_tokens", since=("ended_at",), kept=_ENDED_TOKENS, settings=_PRUNES)
    if settings.keep_tasks_days is None:
        return (keys, tokens)
    ended = ", ".join(f"'{state}'" for state in sorted(ENDED))
    tasks = Rule(
        table="gateway.tasks",
        since=("created_at", "updated_at"),  # the first has the index; the second is the end
        kept=timedelta(days=settings.keep_tasks_days),
        condition=f"state in ({ended})",
        settings=_PRUNES,
    )
    return (keys, tokens, tasks)
