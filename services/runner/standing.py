"""A process that was started before there was anything for it to do: it does the steps it is told, and becomes a program at last.

Starting one costs many times what the word to it costs. It waits as the agent's user, and is used or gone before anything of the agent
runs: it does the checkout and becomes the agent. A program comes as NUL-separated data that nothing evaluates; what follows it on standard
input is the program's own. A step's end is told as the first process tells it: by a token that nothing in a repository could know.
"""

import secrets
from collections.abc import Mapping, Sequence

from services.runner import attendant

SCRIPT = r"""
# stand-by: reads "ARGUMENTS VARIABLES DIRECTORY [TOKEN]" and, each ended by NUL, so many arguments and NAME=value pairs. Without a token it
# becomes that program; with one the program gets no input, and "TOKEN <exit code>" follows what it said.
while IFS=' ' read -r arguments variables directory token; do
  mapfile -d '' -n "$arguments" -t argv && mapfile -d '' -n "$variables" -t environment || exit 125
  [[ $token ]] || { cd -- "$directory" && exec env -i "${environment[@]}" "${argv[@]}"; exit 125; }
  (cd -- "$directory" && exec env -i "${environment[@]}" "${argv[@]}") < /dev/null 2>&1
  printf '%s %d\n' "$token" "$?"
done
exit 125
"""

COMMAND = ("/bin/bash", "-c", SCRIPT, "stand-by")


async def done(stream: attendant.Conversation, argv: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str] | None:
    """Lets the process do a step and wait on: the step's exit code and the beginning of what it said; None when it ended before."""
    token = secrets.token_hex(16)
    try:
        await stream.write(word(argv, environment, "/", token))
    except ConnectionError:
        return None
    return await attendant.answered(stream, token)


def word(argv: Sequence[str], environment: Mapping[str, str], directory: str, token: str = "") -> bytes:
    """What makes a waiting process this program, or do it. Raises ValueError for what no process can be given (execve(2))."""
    parts = [*argv, *(f"{name}={value}" for name, value in environment.items())]
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    if any(b"\0" in part for part in encoded) or not argv or not environment or any(sign in directory for sign in " \n\0"):
        raise ValueError("no process can be given these arguments")
    return f"{len(argv)} {len(environment)} {directory} {token}\n".encode() + b"".join(part + b"\0" for part in encoded)
