"""The scheduler's own settings: `SCHEDULER_RUNNING_PER_OWNER` and every duration and bound of `deadlines.Rules`, one variable each."""

from typing import Annotated

from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.scheduler.deadlines import Rules


class Budgets(BaseModel, frozen=True):
    """What a month may cost where nobody said otherwise; None: whatever it costs."""

    project_budget_usd: Annotated[float, Field(ge=0)] | None = None
    user_budget_usd: Annotated[float, Field(ge=0)] | None = None


# pyright cannot see that pydantic merges the two configurations; a test does.
class SchedulerSettings(BaseSettings, Rules, Budgets):  # pyright: ignore[reportGeneralTypeIssues, reportIncompatibleVariableOverride]
    """`SCHEDULER_PREPARE_SECONDS=600` and so on. They hold for waits that begin after the start, not for those under way."""

    model_config = SettingsConfigDict(env_prefix="SCHEDULER_", frozen=True)

    running_per_owner: Annotated[int, Field(ge=1, le=1_000)] = 5
    """How many tasks of one owner may be prepared, run and published at once, over all replicas."""
    handlers: Annotated[int, Field(ge=1, le=64)] = 4
    """Messages of one stream in work at once, per process."""
    outbox_seconds: Annotated[float, Field(gt=0)] = 60
    """Not ready when a message has waited so long to be published."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 15
    """How often free slots are offered again and deadlines of crashed replicas are looked for; a safety net, not the way."""
    inbox_days: Annotated[int, Field(ge=45)] = 60
    """How long a message that was acted on is remembered: longer than it can come again (30 days in a stream, 14 as a dead letter)."""
    keep_tasks_days: Annotated[int, Field(ge=45)] | None = 90
    """How long a task that ended is kept, for the same reason; None: for ever."""
