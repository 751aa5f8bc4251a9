"""From any sequence of messages (repeated, reordered, stale, forged) a task ends once, and again only after a person reopened it.

It always can end, publishes nothing that nobody let out, and loses no work that nobody gave up.
"""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.scheduler.deadlines import WITHOUT_DEADLINE, Rules
from services.scheduler.decision import BudgetChanged, DeadlinePassed, Internal, Message, SlotFree
from services.scheduler.purse import Room
from services.scheduler.table import decide
from services.scheduler.task import Task
from shared.events import commands
from shared.events.envelope import AnyEnvelope
from shared.events.ids import EventId, RunId, fresh
from shared.events.payload import Kind
from shared.events.values import ENDED, Budget, PublishPolicy, TaskState
from tests.unit.services.scheduler.messages import BASE, NOW, OTHER_TREE, TREE, Script, step_of

RULES = Rules(prepare_sends=2, start_sends=2, publish_sends=2, max_attempts=2)
SECONDS = (1.0, 60.0, 700.0, 8_000.0, 2_000_000.0)
FENCES = st.integers(1, 5)
USD = st.sampled_from([0.0, 0.1, 2.5, 9.999999, 10.0, 10.02])
ROOMS = st.sampled_from([(), (), (), (Room(Budget.PROJECT, 5, 3),), (Room(Budget.USER, 5, 3, 2),), (Room(Budget.PROJECT, 5, 5),)])
WORK = {"run_result", "discarded", "fence", "change_prepared"}
"""What may change of a task that has ended; its migration says the same."""
TREES = st.sampled_from([TREE, TREE, TREE, OTHER_TREE])


class AnySequence(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.script = Script.fresh()
        self.now = NOW
        self.task: Task | None = None
        self.heard: list[AnyEnvelope] = []
        self.said: list[AnyEnvelope] = []
        self.entered: list[TaskState] = []
        self.fates: list[RunId] = []
        self.costs: dict[tuple[str, int], float] = {}
        self.approvals = 0
        self.reopenings: list[str] = []
        self.given_up = False

    # --- what happens ---

    def hear(self, message: Message) -> None:
        before = self.task
        decision = decide(before, message, self.now, RULES)
        assert decision == decide(before, message, self.now, RULES), "deciding is pure, ids included"
        if not isinstance(message, Internal):
            self.heard.append(message)
            self.count(before, message)
            self.approvals += isinstance(message.data, commands.SchedulerApprove | commands.SchedulerPublish)
        if decision.ignored is not None:
            assert (decision.task, decision.messages, decision.fate) == (before, (), None)
        self.check_shares(before, decision.messages)
        self.check_end(before, message, decision.task)
        self.check_work(before, message, decision.task)
        self.check_sends(before, message, decision.messages)
        self.said += decision.messages
        self.entered += [TaskState(m.type.split(".")[1]) for m in decision.messages if m.type.startswith("task.")]
        self.fates += [decision.fate.run_id] if decision.fate else []
        self.task = decision.task

    def count(self, before: Task | None, message: AnyEnvelope) -> None:
        """What each attempt of this task's runs said last of its cost, while the task had not ended."""
        told = message.data
        if before is None or before.ended or not getattr(told, "fence", 0) or not hasattr(told, "usage"):
            return
        if told.run_id in [self.script.run_number(number + 1) for number in range(before.runs)]:
            attempt = (told.run_id, told.fence)
            self.costs[attempt] = max(told.usage.cost_usd, self.costs.get(attempt, 0.0))

    def check_shares(self, before: Task | None, said: tuple[AnyEnvelope, ...]) -> None:
        """A run may cost what the task may in all, less what was spent: never reset, never doubled."""
        for command in (message.data for message in said if isinstance(message.data, commands.RunnerStart)):
            assert before is not None
            allowed = before.raised_to_usd or 10.0
            assert command.limits.max_cost_usd <= round(allowed - before.spent_usd, 6) or before.state is not TaskState.QUEUED

    def check_end(self, before: Task | None, message: Message, after: Task | None) -> None:
        """An end is left by a person's publish alone, each of which does so once; what succeeded is never left."""
        if before is None or not before.ended or after is None or after == before:
            return
        assert before.state is not TaskState.SUCCEEDED
        if after.state is before.state:
            assert {name for name in Task.model_fields if getattr(after, name) != getattr(before, name)} <= WORK
            return
        assert not isinstance(message, Internal)
        assert isinstance(message.data, commands.SchedulerPublish)
        assert (after.state, after.holds_slot, before.discarded) == (TaskState.PUBLISHING, False, False)
        assert message.id not in self.reopenings
        self.reopenings.append(message.id)

    def check_work(self, before: Task | None, message: Message, after: Task | None) -> None:
        """What a run made stays until it is published, rejected, discarded or found to be gone; given up it never comes back."""
        if before is not None and before.run_result is not None and after is not None and after.run_result != before.run_result:
            assert not isinstance(message, Internal)
            if after.run_result is not None:
                assert after.run_result.run_id not in (None, before.run_result.run_id), "a later run's work holds the earlier's"
                return
            assert after.discarded
            assert message.type in {"scheduler.reject.v1", "scheduler.discard.v1", "change.failed.v1"}
        if after is not None:
            assert after.discarded >= self.given_up
            assert not (after.discarded and after.run_result)
            self.given_up = after.discarded

    def check_sends(self, before: Task | None, message: Message, said: tuple[AnyEnvelope, ...]) -> None:
        """A step's command goes out when its state is entered, and again only when its last try is given up."""
        sent = [m for m in said if m.data.KIND is Kind.COMMAND]
        assert len(sent) <= 1
        if not sent or before is None or before.step is None or before.step.command_type != sent[0].type:
            return
        lost = not isinstance(message, Internal) and message.type == "command.dead_lettered.v1"
        assert isinstance(message, DeadlinePassed) or lost

    def cause(self, data: st.DataObject) -> EventId | None:
        """Mostly a command that was sent, sometimes one that never was."""
        ids = [m.id for m in self.said if m.data.KIND is Kind.COMMAND]
        return data.draw(st.sampled_from([*ids[-1:], *ids[::-1], EventId(fresh()), None]))

    def run(self, data: st.DataObject) -> RunId:
        now = self.task.run_id if self.task is not None and self.task.run_id is not None else self.script.run
        return data.draw(st.sampled_from([now, now, now, self.script.run, RunId(self.script.task)]))

    def expected(self, held: bool) -> Message:  # noqa: PLR0911 - one line per state
        """What happens next when nothing goes wrong: random messages alone would rarely come far."""
        script, step, fence = self.script, step_of(self.task), self.task.fence if self.task else 0
        match self.task.state if self.task else None:
            case TaskState.QUEUED:
                return SlotFree()
            case TaskState.PREPARING:
                return script.prepared(step)
            case TaskState.RUNNING:
                run = self.task.run_id if self.task else None
                return script.finished(step, fence, run=run) if fence else script.started(step, 2, run=run)
            case TaskState.AWAITING_BUDGET:
                return script.raise_budget(round((self.task.spent_usd if self.task else 0.0) + 1, 6))
            case TaskState.PUBLISHING:
                return script.held(step) if held else script.published(step)
            case TaskState.AWAITING_APPROVAL:
                return script.approve()
            case TaskState.FAILED | TaskState.CANCELLED | TaskState.TIMED_OUT:
                return script.publish()
            case _:
                return script.submit()

    @initialize(
        steps=st.integers(0, 7),
        held=st.booleans(),
        end=st.sampled_from([None, None, "agent_exit", "wall_time", "cancelled", "budget_exceeded"]),
    )
    def a_good_beginning(self, steps: int, held: bool, end: str | None) -> None:
        """Many of the lives begin where a person may publish by hand, some of them with the diff stored already."""
        if end is not None:
            self.hear(self.script.submit())
            while self.task is not None and not self.task.fence:
                self.hear(self.expected(held))
            self.hear(self.script.run_failed(step_of(self.task), 2, end, made=True, usd=10.02))
            self.hear(self.script.change_prepared(None, TREE if held else OTHER_TREE))
            return
        for _ in range(steps):
            if self.task is None or self.task.state is not TaskState.PUBLISHING or held:
                self.hear(self.expected(held))

    @rule(held=st.booleans())
    def what_is_expected(self, held: bool) -> None:
        self.hear(self.expected(held))

    @rule(policy=st.sampled_from(PublishPolicy))
    def submit(self, policy: PublishPolicy) -> None:
        self.hear(self.script.submit(policy))

    @rule(rooms=ROOMS)
    def slot(self, rooms: tuple[Room, ...]) -> None:
        self.hear(SlotFree(rooms))

    @rule(usd=st.one_of(st.none(), st.sampled_from([1.0, 10.0, 10.03, 20.0, 50.0])))
    def person_raises(self, usd: float | None) -> None:
        self.hear(self.script.raise_budget(usd))

    @rule()
    def month_is_set(self) -> None:
        self.hear(BudgetChanged(EventId(fresh())))

    @rule(seconds=st.sampled_from(SECONDS))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.hear(DeadlinePassed())

    @rule(data=st.data(), well=st.sampled_from([True, True, True, False]))
    def workspace(self, data: st.DataObject, well: bool) -> None:
        cause = self.cause(data)
        self.hear(self.script.prepared(cause) if well else self.script.prepare_failed(cause))

    @rule(data=st.data(), fence=FENCES, usd=USD)
    def run_begins(self, data: st.DataObject, fence: int, usd: float) -> None:
        self.hear(self.script.started(self.cause(data), fence, self.run(data)))
        self.hear(self.script.checkpointed(self.cause(data), fence, run=self.run(data), usd=usd))

    @rule(data=st.data(), fence=FENCES, changed=st.sampled_from([True, True, True, False]), base=st.sampled_from([BASE, BASE, OTHER_TREE]))
    def run_finishes(self, data: st.DataObject, fence: int, changed: bool, base: str) -> None:
        self.hear(self.script.finished(self.cause(data), fence, changed=changed, run=self.run(data), base=base))

    @rule(
        data=st.data(),
        fence=st.integers(0, 5),
        code=st.sampled_from(["agent_exit", "wall_time", "cancelled", "budget_exceeded", "budget_exceeded"]),
        made=st.booleans(),
        base=st.sampled_from([BASE, BASE, OTHER_TREE]),
        usd=USD,
    )
    def run_fails(self, data: st.DataObject, fence: int, code: str, made: bool, base: str, usd: float) -> None:
        self.hear(self.script.run_failed(self.cause(data), fence, code, self.run(data), made=made, base=base, usd=usd))

    @rule(data=st.data(), answer=st.sampled_from(["prepared", "prepared", "held", "held", "published", "failed", "gone"]), tree=TREES)
    def change(self, data: st.DataObject, answer: str, tree: str) -> None:
        cause = self.cause(data)
        say: dict[str, AnyEnvelope] = {
            "prepared": self.script.change_prepared(cause, tree),
            "held": self.script.held(cause, tree),
            "published": self.script.published(cause, tree, self.run(data)),
            "failed": self.script.change_failed(cause),
            "gone": self.script.change_failed(cause, "blob_missing"),
        }
        self.hear(say[answer])

    @rule(what=st.sampled_from(["cancel", "reject", "discard"]))
    def person_stops(self, what: str) -> None:
        self.hear({"cancel": self.script.cancel, "reject": self.script.reject, "discard": self.script.discard}[what]())

    @rule(tree=st.one_of(st.none(), TREES))
    def person_publishes(self, tree: str | None) -> None:
        self.hear(self.script.publish(tree))

    @rule(tree=TREES)
    def person_approves(self, tree: str) -> None:
        self.hear(self.script.approve(tree))

    @rule(
        data=st.data(),
        command=st.sampled_from(["git.prepare.v1", "runner.start.v1", "git.publish.v1", "scheduler.submit.v1"]),
        reason=st.sampled_from(["invalid", "refused", "exhausted", "max_deliveries"]),
    )
    def command_is_lost(self, data: st.DataObject, command: str, reason: str) -> None:
        self.hear(self.script.lost(self.cause(data), command, reason))

    @rule(data=st.data())
    def anything_again(self, data: st.DataObject) -> None:
        if self.heard:
            self.hear(data.draw(st.sampled_from(self.heard)))

    # --- what always holds ---

    @invariant()
    def every_waiting_state_has_a_deadline_or_is_listed(self) -> None:
        if self.task is not None and not self.task.ended:
            assert (self.task.deadline_at is None) == (self.task.state in WITHOUT_DEADLINE)
        if self.task is not None and self.task.ended:
            assert (self.task.deadline_at, self.task.step, self.task.former) == (None, None, None)

    @invariant()
    def it_ends_once_for_each_time_it_is_open_and_says_each_state_it_enters_once(self) -> None:
        assert sum(state in ENDED for state in self.entered) <= 1 + len(self.reopenings)
        assert TaskState.SUCCEEDED not in self.entered[:-1]
        if self.task is not None and self.task.state is not TaskState.SUBMITTED:
            assert self.entered[-1] is self.task.state
        assert all(a is not b for a, b in zip(self.entered, self.entered[1:], strict=False))
        assert len({message.id for message in self.said}) == len(self.said)

    @invariant()
    def a_run_has_one_fate_and_a_run_that_is_over_has_one(self) -> None:
        assert len(set(self.fates)) == len(self.fates)
        if self.task is not None and self.task.run_id is not None and (self.task.ended or self.task.state is TaskState.AWAITING_BUDGET):
            assert self.task.run_id in self.fates

    @invariant()
    def what_was_spent_is_the_sum_of_what_each_attempt_said_last(self) -> None:
        if self.task is not None:
            assert self.task.spent_usd == round(sum(self.costs.values()), 6)
            assert self.task.promised_usd == 0 or self.task.holds_slot

    @invariant()
    def pushes_are_bounded_and_approved_ones_were_approved(self) -> None:
        pushes = [message.data for message in self.said if isinstance(message.data, commands.GitPublish)]
        first_tries = {
            message.causationid for message in self.said if isinstance(message.data, commands.GitPublish) and message.data.approved
        }
        assert len(first_tries) <= self.approvals
        if self.task is not None and self.task.former is not None and pushes:
            assert pushes[-1].approved or pushes[-1].publish_policy is PublishPolicy.ASK, "a publish by hand is shown before it is pushed"
        assert all(push.tree_sha == TREE for push in pushes)
        assert sum(push.approved for push in pushes) <= self.approvals * RULES.publish_sends

    @invariant()
    def it_survives_being_stored(self) -> None:
        if self.task is not None:
            assert Task.from_json(self.task.to_json()) == self.task

    @invariant()
    def it_ends_when_nobody_answers_any_more(self) -> None:
        task, now = self.task, self.now
        for _ in range(20):
            if task is None or task.ended:
                return
            if task.state is TaskState.QUEUED:
                task = decide(task, SlotFree(), now, RULES).task
                continue
            assert task.deadline_at is not None
            now = max(now, task.deadline_at)
            task = decide(task, DeadlinePassed(), now, RULES).task
        raise AssertionError("silence must end a task")


TestAnySequence: Any = AnySequence.TestCase
TestAnySequence.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
