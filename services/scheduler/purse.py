"""What the budgets of a calendar month (UTC) have left, with what runs under way are promised. Values only; no I/O, no clock.

A run is promised its share before it starts, and nobody else is: so all runs together stay within a budget, but for the one response of
each at which its share ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from shared.events.ids import ProjectId
from shared.events.values import Budget


@dataclass(frozen=True)
class Room:
    """What one budget has left for one task."""

    budget: Budget
    limit_usd: float
    spent_usd: float
    promised_usd: float = 0.0
    """To runs under way; they may leave some of it."""

    @property
    def used_up(self) -> bool:
        """Whether it pays for nothing more, whatever the runs under way leave."""
        return self.spent_usd >= self.limit_usd

    @property
    def left_usd(self) -> float:
        """What may be promised."""
        return round(self.limit_usd - self.spent_usd - self.promised_usd, 6)


@dataclass(frozen=True)
class Flow:
    """What was spent in the month, and what is promised."""

    spent_usd: float = 0.0
    promised_usd: float = 0.0


@dataclass(frozen=True)
class Purse:
    """One owner's month. A limit of None bounds nothing."""

    user_usd: float | None = None
    project_usd: float | None = None
    """Of projects that have none of their own."""
    projects_usd: Mapping[ProjectId, float] = field(default_factory=dict[ProjectId, float])
    flows: Mapping[ProjectId, Flow] = field(default_factory=dict[ProjectId, Flow])

    @property
    def bounded(self) -> bool:
        """Whether there is a budget at all."""
        return self.user_usd is not None or self.project_usd is not None or bool(self.projects_usd)

    def rooms(self, project_id: ProjectId) -> tuple[Room, ...]:
        """What there is for a task of this project."""
        own, flow = self.projects_usd.get(project_id, self.project_usd), self.flows.get(project_id, Flow())
        rooms = [] if own is None else [Room(Budget.PROJECT, own, flow.spent_usd, flow.promised_usd)]
        if self.user_usd is not None:
            spent = round(sum(each.spent_usd for each in self.flows.values()), 6)
            rooms.append(Room(Budget.USER, self.user_usd, spent, round(sum(each.promised_usd for each in self.flows.values()), 6)))
        return tuple(rooms)

    def promising(self, project_id: ProjectId, usd: float) -> "Purse":
        """The purse with that much more promised."""
        flow = self.flows.get(project_id, Flow())
        return replace(self, flows={**self.flows, project_id: replace(flow, promised_usd=round(flow.promised_usd + usd, 6))})
