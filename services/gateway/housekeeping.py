"""What the gateway forgets, and when: answers to requests that nobody sends again, and tasks whose time is over. Pure.

The rules hold for everybody's rows, so they say to row-level security what they are for (`gateway.prunes` in the migrations).
"""

from datetime import timedelta
from typing import Final

from services.gateway.settings import Settings
from shared.events.values import ENDED
from shared.store.pruning import Rule

_PRUNES: Final = {"gateway.prunes": "on"}


def rules(settings: Settings) -> tuple[Rule, ...]:
    """By the operator's settings."""
    keys = Rule(
        table="gateway.idempotency_keys",
        since=("created_at",),
        kept=timedelta(hours=settings.idempotency_hours),
        settings=_PRUNES,
    )
    if settings.keep_tasks_days is None:
        return (keys,)
    ended = ", ".join(f"'{state}'" for state in sorted(ENDED))
    tasks = Rule(
        table="gateway.tasks",
        since=("created_at", "updated_at"),  # the first has the index; the second is the end
        kept=timedelta(days=settings.keep_tasks_days),
        condition=f"state in ({ended})",
        settings=_PRUNES,
    )
    return (keys, tasks)
