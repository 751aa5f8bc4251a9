"""What a month's budget looks like from outside."""

from typing import Annotated

from pydantic import Field

from services.gateway.text import Request, Resource
from shared.events.ids import ProjectId

Monthly = Annotated[
    float | None,
    Field(
        ge=0, le=1_000_000, description="US dollars per calendar month (UTC); null: the operator's default. 0 lets nothing with a cost run."
    ),
]


class NewBudget(Request):
    """What a month may cost."""

    monthly_usd: Monthly


class MonthlyBudget(Resource):
    """What a month may cost: a project's tasks, or, without one, all of yours."""

    project_id: ProjectId | None
    monthly_usd: Monthly
