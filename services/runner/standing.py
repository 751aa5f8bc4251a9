"""Processes of a warm sandbox that were started before there was a run: each waits to be told which program to become.

Starting one costs many times what the word to it costs. They wait as the agent's user, and are used or gone before anything of the agent
runs: the first becomes the checkout, the next the agent. A program comes as NUL-separated data that nothing evaluates; what follows it on
standard input is the program's own.
"""

from collections.abc import Mapping, Sequence

SCRIPT = r"""
# stand-by: reads "ARGUMENTS VARIABLES DIRECTORY" and, each ended by NUL, so many arguments and NAME=value pairs; becomes that program.
IFS=' ' read -r arguments variables directory || exit 125
mapfile -d '' -n "$arguments" -t argv && mapfile -d '' -n "$variables" -t environment || exit 125
cd -- "$directory" && exec env -i "${environment[@]}" "${argv[@]}"
"""

COMMAND = ("/bin/bash", "-c", SCRIPT, "stand-by")
AT_ONCE = 2
"""One for the checkout and one for the agent."""


def word(argv: Sequence[str], environment: Mapping[str, str], directory: str) -> bytes:
    """What makes a waiting process this program. Raises ValueError for what no process can be given (execve(2))."""
    parts = [*argv, *(f"{name}={value}" for name, value in environment.items())]
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    if any(b"\0" in part for part in encoded) or not argv or not environment or any(sign in directory for sign in " \n\0"):
        raise ValueError("no process can be given these arguments")
    return f"{len(argv)} {len(environment)} {directory}\n".encode() + b"".join(part + b"\0" for part in encoded)
