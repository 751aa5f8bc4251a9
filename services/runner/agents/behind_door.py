"""What every agent with a model shares: how its program starts behind its door, and how its end is judged. No I/O.

What a person wrote is never an argument, which the host's process list would show: the prompt is standard input, and so is what they add to
the agent's system prompt, which a script of ours puts into a file before the program reads on.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.runner.agents import notes, upstream
from services.runner.agents.adapter import Assignment, Ending
from services.runner.agents.events import document
from services.runner.container import DOOR, SCRIPTS
from services.runner.sandbox import Program
from shared.events.ids import SessionId, is_uuid

HOME = "/home/agent"
GO_ON = (
    "You were interrupted in the middle of this task: the machine you worked on is gone, and this is another one. The files in the current "
    "directory are as they were at most a minute before, perhaps a little newer or older than what you last saw of them. What is gone: "
    "processes you started, files that git ignores, files outside this directory, and your own commits. Look at what is there, and go on "
    "with the task from where you were. Leave the result in the files; it is taken from there."
)
"""What an agent is told that goes on with its session: the prompt is in there."""
TURNS_USED_UP = "turns_used_up"
_SIGNALLED = 128
_KILLS = (_SIGNALLED + 9, _SIGNALLED + 15)


@dataclass(frozen=True)
class File:
    """A file that is there when the program starts."""

    path: str
    text: str


def program(
    assignment: Assignment, command: tuple[str, ...], *, port: int, token: str, environment: Mapping[str, str], preface: str, file: File
) -> Program:
    """`command` with the run's door at 127.0.0.1:`port`, its token in the variable `token`, `preface` and prompt on standard input.

    An agent that goes on with its session is told that instead of the prompt. `file` is there only where something is added to the agent's
    system prompt. `preface` stands before every prompt: none must be read as a command of the agent's.
    """
    if assignment.door is None:
        raise ValueError(f"{command[0]} needs a door")
    joint = (f"{SCRIPTS}with-door", f"{DOOR}/{assignment.door.socket_name}", str(port))
    head, added = b"", ()
    if assignment.system_prompt:
        head = _encoded(file.text)
        added = (f"{SCRIPTS}with-file", file.path, str(len(head)))
    told = preface + notes.beside_the_preface(assignment.elsewhere) + assignment.prompt if assignment.session_id is None else GO_ON
    return Program(
        argv=(*joint, *added, *command),
        stdin=head + _encoded(told),
        environment={"HOME": HOME, **environment, token: assignment.door.token.get_secret_value()},
    )


def verdict(ending: Ending, results: Mapping[str, str]) -> str | None:
    """The failure code of its end; `results` are codes by what the agent itself calls its result.

    Its event stream is untrusted: what it runs can write into it. So it ended well only if its process did *and* its last event says so,
    and what it spent is what the door metered.
    """
    result = ending.last.name if ending.last is not None and ending.last.kind == "result" else ""
    if ending.exit_code == 0 and result == "success":
        return None  # also where its last response used the budget up: nothing was refused any more
    if ending.spending.exhausted:
        return "budget_exceeded"
    if result in results:
        return results[result]
    if any(refused.reason == TURNS_USED_UP for refused in ending.spending.refusals):
        return "agent_max_turns"
    if ending.exit_code in _KILLS:
        return "agent_killed"
    return upstream.failure_of(ending.spending) or "agent_exit"


def session(line: str, event_type: str, key: str) -> SessionId | None:
    """The session's id in an event of this type; None in every other line."""
    said = document(line) if event_type in line else None
    told = said.get(key) if said is not None and said.get("type") == event_type else None
    return SessionId(told) if isinstance(told, str) and is_uuid(told) else None


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
