"""What the scheduler forgets, and when: messages that cannot come again, tasks of which none can tell any more. Pure."""

from datetime import timedelta
from typing import Final

from services.scheduler.settings import SchedulerSettings
from shared.events.values import ENDED
from shared.store.inbox import Inbox
from shared.store.pruning import Rule

SPENDING_KEPT: Final = timedelta(days=100)
"""What runs cost is asked for their month alone; a message about one can come for 44 days more."""


def rules(settings: SchedulerSettings, inbox: Inbox) -> tuple[Rule, ...]:
    """By the operator's settings."""
    remembered = inbox.rule(timedelta(days=settings.inbox_days))
    spent = Rule(table="scheduler.spending", since=("heard_at",), kept=SPENDING_KEPT)
    if settings.keep_tasks_days is None:
        return (remembered, spent)
    ended = ", ".join(f"'{state}'" for state in sorted(ENDED))
    return (
        remembered,
        spent,
        Rule(
            table="scheduler.tasks",
            since=("created_at", "updated_at"),  # the first has the index; the second is the end
            kept=timedelta(days=settings.keep_tasks_days),
            condition=f"state in ({ended})",
        ),
    )
