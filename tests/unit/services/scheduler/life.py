"""A task under test: hears messages one after the other and keeps everything it said."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from services.scheduler.deadlines import Rules
from services.scheduler.decision import Decision, Message, RunFate, SlotFree
from services.scheduler.table import decide
from services.scheduler.task import Task
from shared.events.envelope import AnyEnvelope
from shared.events.ids import EventId
from shared.events.values import PublishPolicy, TaskState
from tests.unit.services.scheduler.messages import NOW, Script, step_of

RULES = Rules()


@dataclass
class Life:
    script: Script = field(default_factory=Script.fresh)
    rules: Rules = RULES
    now: datetime = NOW
    task: Task | None = None
    said: list[AnyEnvelope] = field(default_factory=list[AnyEnvelope])
    fates: list[RunFate] = field(default_factory=list[RunFate])
    last: Decision = field(default_factory=lambda: Decision(None))

    def hear(self, *messages: Message) -> Self:
        for message in messages:
            self.last = decide(self.task, message, self.now, self.rules)
            self.task = self.last.task
            self.said += self.last.messages
            self.fates += [self.last.fate] if self.last.fate else []
        return self

    def pass_seconds(self, seconds: float) -> Self:
        self.now += timedelta(seconds=seconds)
        return self

    @property
    def state(self) -> TaskState | None:
        return self.task.state if self.task else None

    @property
    def step(self) -> EventId | None:
        return step_of(self.task)

    @property
    def told(self) -> list[str]:
        return [message.type for message in self.said]

    @property
    def reason(self) -> str:
        """Why the last message was ignored; a message that did something fails here."""
        assert self.last.ignored is not None
        return self.last.ignored


def preparing(policy: PublishPolicy = PublishPolicy.AUTO, rules: Rules = RULES) -> Life:
    life = Life(rules=rules)
    return life.hear(life.script.submit(policy), SlotFree())


def running(policy: PublishPolicy = PublishPolicy.AUTO, rules: Rules = RULES) -> Life:
    life = preparing(policy, rules)
    return life.hear(life.script.prepared(life.step))


def started(fence: int = 7, rules: Rules = RULES) -> Life:
    life = running(rules=rules)
    return life.hear(life.script.started(life.step, fence))


def publishing(rules: Rules = RULES) -> Life:
    life = started(rules=rules)
    return life.hear(life.script.finished(life.step, 7))


def stopped_at_budget(usd: float = 10.02, rules: Rules = RULES) -> Life:
    """Its run was stopped at its limit of ten dollars, and had made something."""
    life = started(rules=rules)
    return life.hear(life.script.run_failed(life.step, 7, "budget_exceeded", made=True, usd=usd))


def awaiting_approval(rules: Rules = RULES) -> Life:
    life = publishing(rules)
    return life.hear(life.script.held(life.step))


def failed_with_work(code: str = "agent_exit", rules: Rules = RULES) -> Life:
    """The agent did not end well and had made something."""
    life = started(rules=rules)
    return life.hear(life.script.run_failed(life.step, 7, code, made=True))


def reopened(code: str = "agent_exit") -> Life:
    """A person publishes by hand what was kept; the diff is stored and waits for them."""
    life = failed_with_work(code)
    life.hear(life.script.publish())
    return life.hear(life.script.change_prepared(life.step), life.script.held(life.step))
