"""The `shell` agent: the prompt is a bash script, for code-mods and for trying the system without a model key.

"No shell ever sees user text" is about the host and about quoting. Here the script is the agent's program by definition: it comes on
standard input of a bash inside the sandbox, as the sandbox's user, and no other shell or argument list holds a byte of it. A command in
the script that reads standard input reads on in the script.
"""

from services.runner.agents.adapter import Assignment, Ending, Options
from services.runner.sandbox import Program, SessionPlace
from shared.events.ids import SessionId
from shared.events.output import MAX_TEXT, AgentEvent

_SIGNALLED = 128
_KILLS = (_SIGNALLED + 9, _SIGNALLED + 15)


class Shell:
    """Runs the prompt with `bash -euo pipefail`; every line it prints is a `log` event."""

    name = "shell"
    vendor = None
    keeps_to_turns = True
    options = Options()

    def program(self, assignment: Assignment) -> Program:
        """See Agent."""
        return Program(argv=("/bin/bash", "-euo", "pipefail", "-s"), stdin=assignment.prompt.encode())

    def parse(self, line: str) -> AgentEvent | None:
        """See Agent."""
        return AgentEvent(kind="log", text=line[:MAX_TEXT], truncated=len(line) > MAX_TEXT)

    def session_of(self, line: str) -> SessionId | None:
        """See Agent."""
        del line

    def session_place(self, session_id: SessionId) -> SessionPlace | None:
        """See Agent. A script cannot go on in its middle: it begins anew, on the base that it was written for."""
        del session_id

    def verdict(self, ending: Ending) -> str | None:
        """See Agent."""
        if ending.exit_code == 0:
            return None
        return "agent_killed" if ending.exit_code in _KILLS else "agent_exit"
