"""A model whose next step follows from the conversation that it is shown, and the tasks' proof that no turn was taken twice.

It has the agent write a line, then another, then wait; and a third one once it is told that the agent was interrupted. An agent that forgot
what was said before would be told to write the first line again.
"""

from typing import Any

from deploy.embedded.scripted.steps import Run, Say, Step

FIRST, SECOND, WAITS, THIRD, END = (
    "It begins with amber.",
    "Then comes beryl.",
    "I wait a while.",
    "Coral is the last.",
    "All three are there.",
)
PROMPT = "Write down three stones"
INTERRUPTED = "You were interrupted in the middle of this task"
FILE = "stones.txt"
WRITTEN = "amber\nberyl\ncoral\n"


def steps(body: dict[str, Any]) -> list[Step]:
    """For `ScriptedModel.play`."""
    said = str(body)
    if THIRD in said:
        return [Say(END)]
    if SECOND in said and INTERRUPTED in said:
        return [Run(f"echo coral >> {FILE}", THIRD)]
    if SECOND in said:
        return [Run("sleep 3", WAITS)]
    if FIRST in said:
        return [Run(f"echo beryl >> {FILE}", SECOND)]
    return [Run(f"echo amber >> {FILE}", FIRST)]


def waits(requests: list[dict[str, Any]]) -> bool:
    """Whether the first two lines are written: an answer to a waiting turn has been asked for."""
    return any(WAITS in str(body) for body in requests)


def went_on(requests: list[dict[str, Any]]) -> list[str]:
    """What the model was asked by the agent that was interrupted. Each of its turns, and what the person asked, stands there once."""
    after = [said for body in requests if INTERRUPTED in (said := str(body)) and PROMPT in said]
    assert len(after) >= 2
    assert all(said.count(turn) == 1 for said in after for turn in (PROMPT, FIRST, SECOND))
    assert after[-1].count(THIRD) == 1
    return after
