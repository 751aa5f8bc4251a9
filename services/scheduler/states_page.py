"""docs/states.md, made from the table: `python -m services.scheduler.states_page > docs/states.md`. A test holds the two together."""

import sys
from collections import defaultdict

from services.scheduler.deadlines import WITHOUT_DEADLINE, Rules
from services.scheduler.table import KINDS, TABLE, Ignored, Kind, State
from shared.events.payload import Payload
from shared.events.values import ENDED, TaskState

_HEAD = """# The states of a task

Made from `services/scheduler/table.py` by `python -m services.scheduler.states_page`; a test fails when the two differ.
The scheduler alone decides; each state it enters is one fact `task.<state>`.
What is not listed as a transition is ignored, for the reason given.
Slots: `preparing`, `running` and `publishing` take one of the owner's slots, except a push that a person approved or asked for by hand.

What a run made is kept when its task ends without publishing it, for `kept_seconds`, unless a person rejects or discards it, or git no
longer finds it stored. A person's publish reopens such a task, as a change that waits for approval; it is pushed at once only when the
publish names the tree whose diff is stored. A cancel, a reject or nobody's decision then ends it as it had ended before; a push that
fails ends it with that failure, and the work is still kept. What succeeded is never left.

A task that reaches a budget holds no slot and waits for a person. Once the budget is raised it waits for a slot like any other, and its
next run has a new id and may cost what the task may in all, less what all its runs have cost. What the attempts of runs tell of their
cost is counted in every state that has not ended, whatever else becomes of the message (decision 0019).

```mermaid
stateDiagram-v2
    [*] --> queued: scheduler.submit
    queued --> preparing: a slot is free
    preparing --> running: workspace.prepared
    running --> publishing: run.finished, the tree changed
    running --> succeeded: run.finished, nothing changed
    publishing --> succeeded: change.published
    publishing --> awaiting_approval: change.held
    awaiting_approval --> publishing: scheduler.approve
    awaiting_approval --> succeeded: change.published (of a try before)
    awaiting_approval --> cancelled: scheduler.reject
    awaiting_approval --> timed_out: nobody decided
    running --> timed_out: run.failed, a time limit
    running --> awaiting_budget: run.failed, a budget is used up
    queued --> awaiting_budget: a month's budget is used up
    awaiting_budget --> queued: scheduler.raise_budget, or the month's budget was set
    queued --> running: a slot is free, and the run goes on
    awaiting_budget --> failed: scheduler.reject, nobody decided
    preparing --> failed: workspace.failed, no answer
    running --> failed: run.failed, no runner, runner lost
    publishing --> failed: change.failed, no answer, another tree
    queued --> cancelled: scheduler.cancel (from every state that has not ended)
    failed --> publishing: scheduler.publish (also from cancelled and timed_out, which a reopened task goes back to)
```
"""

_FIELDS = {
    TaskState.SUBMITTED: "`tombstone_seconds`, then cancelled",
    TaskState.PREPARING: "`prepare_seconds` per try, `prepare_sends` tries, then failed `step_time`",
    TaskState.RUNNING: (
        "`start_seconds` per try until `run.started`, `start_sends` tries, then failed `no_runner` or `runner_lost`; from `run.started` on "
        "the run's wall limit and `run_slack_seconds`; after a cancel `cancel_seconds`, then cancelled; `max_attempts` starts in all"
    ),
    TaskState.PUBLISHING: (
        "`publish_seconds` per try, `publish_sends` tries, then failed `step_time`; after a cancel no further try, then cancelled, or, if "
        "reopened, as it had ended"
    ),
    TaskState.AWAITING_APPROVAL: (
        "`approval_seconds`, then timed_out `step_time`; if reopened not beyond what its work is kept for, then as it had ended"
    ),
    TaskState.AWAITING_BUDGET: ("`budget_seconds`, not beyond what its work is kept for, then failed `budget_exceeded` with its work kept"),
    **WITHOUT_DEADLINE,
}


_INTERNAL = {"SlotFree": "a slot is free", "DeadlinePassed": "the deadline passed", "BudgetChanged": "a month's budget was set"}


def _name(kind: Kind) -> str:
    if issubclass(kind, Payload):
        return f"`{kind.TYPE.rpartition('.')[0]}`"
    return _INTERNAL[kind.__name__]


def _title(state: State) -> str:
    if state is TaskState.SUBMITTED:
        return "submitted (a tombstone: the cancel came first)"
    return state.value if state is not None else "unknown to the scheduler"


def _section(state: State) -> list[str]:
    lines = [f"### {_title(state)}", ""]
    wait = _FIELDS.get(state) if state is not None else None
    lines += [f"Deadline: {wait}.", ""] if wait else []
    ignored: defaultdict[str, list[str]] = defaultdict(list)
    answered: list[str] = []
    for kind in KINDS:
        answer = TABLE[state][kind]
        if isinstance(answer, Ignored):
            ignored[answer.reason].append(_name(kind))
        else:
            says = (answer.__doc__ or "").strip().splitlines()[0]
            answered.append(f"| {_name(kind)} | `{getattr(answer, '__name__', '')}` | {says} |")
    if answered:
        lines += ["| message | transition | what it means |", "|---|---|---|", *answered, ""]
    lines += [f"- Ignored, {reason}: {', '.join(names) if len(names) < len(KINDS) else 'everything'}." for reason, names in ignored.items()]
    return [*lines, ""]


def _durations() -> list[str]:
    rows = [f"| `{name}` | `SCHEDULER_{name.upper()}` | {value:g} |" for name, value in Rules().model_dump().items()]
    return ["## Durations and bounds", "", "| rule | setting | default |", "|---|---|---|", *rows, ""]


def render() -> str:
    """The whole page."""
    states: list[State] = [None, *(state for state in TaskState if state not in ENDED), *sorted(ENDED)]
    sections = [line for state in states for line in _section(state)]
    return "\n".join([_HEAD, "## What answers what", "", *sections, *_durations()])


if __name__ == "__main__":
    sys.stdout.write(render())
