"""What the scheduler forgets, and when: messages that cannot come again, tasks of which none can tell any more. Pure."""

from datetime import timedelta

from services.scheduler.settings import SchedulerSettings
from shared.events.values import ENDED
from shared.store.inbox import Inbox
from shared.store.pruning import Rule


def rules(settings: SchedulerSettings, inbox: Inbox) -> tuple[Rule, ...]:
    """By the operator's settings."""
    remembered = inbox.rule(timedelta(days=settings.inbox_days))
    if settings.keep_tasks_days is None:
        return (remembered,)
    ended = ", ".join(f"'{state}'" for state in sorted(ENDED))
    return (
        remembered,
        Rule(
            table="scheduler.tasks",
            since=("created_at", "updated_at"),  # the first has the index; the second is the end
            kept=timedelta(days=settings.keep_tasks_days),
            condition=f"state in ({ended})",
        ),
    )
