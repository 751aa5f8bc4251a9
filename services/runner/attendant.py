"""The sandbox's first process, and how the runner talks to it: the steps that only the harvest user may take, without an exec for each.

An exec costs many times such a step. The script goes with the create request, not with the image: so the two sides of this conversation are
never of different versions. Its answers say how a step ended and decide nothing else: what a step complained about may quote what a
repository holds, so the answer's line begins with a token that nobody in the sandbox could know.
"""

import asyncio
import re
import secrets
from pathlib import Path
from typing import Protocol

from services.runner.sandbox import Stream

SCRIPT = r"""
# attendant SECONDS: does a step at a word on standard input, and ends by itself when nobody has said anything for so long. A word is
# "load LENGTH TOKEN" and LENGTH bytes of a tar, "keep-index 0 TOKEN", "harvest-room 0 TOKEN", or "live SECONDS TOKEN": from now on it waits
# so long. The answer is what the step complained about and a line "TOKEN <exit code>".
set -uo pipefail
lib=/usr/local/lib/async-code
patience=$1
while IFS=' ' read -r -t "$patience" word length token; do
  if [[ $word == live ]]; then patience=$length; printf '%s 0\n' "$token"; continue; fi
  case $word in
    load) head --bytes="$length" | { "$lib/load"; code=$?; cat > /dev/null; exit "$code"; } ;;
    keep-index | harvest-room) "$lib/$word" < /dev/null ;;
    *) exit 2 ;;
  esac 2>&1
  printf '%s %d\n' "$token" "$?"
done
"""

_PIECE_BYTES = 1024 * 1024
_KEPT_BYTES = 64 * 1024
_SAID_CHARACTERS = 4_096


class Conversation(Protocol):
    """The first process's input and output."""

    async def read(self) -> tuple[Stream, bytes] | None:
        """The next piece of output; None at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Gives it input."""
        ...


def command(seconds: int) -> list[str]:
    """The first process, below the init: it ends by itself after so long without a word."""
    return ["/bin/bash", "-c", SCRIPT, "attendant", str(seconds)]


async def asked(stream: Conversation, word: str, source: Path | int = 0) -> tuple[int, str] | None:
    """The step's exit code and the beginning of what it complained about; None when the first process ended before it answered.

    `source` is the file that the step takes, or the number that the word needs.
    """
    token = secrets.token_hex(16)
    length = source if isinstance(source, int) else (await asyncio.to_thread(source.stat)).st_size
    try:
        await stream.write(f"{word} {length} {token}\n".encode())
        if isinstance(source, Path):
            await _fed(stream, source)
    except ConnectionError:  # nobody is there to answer
        return None
    return await answered(stream, token)


async def answered(stream: Conversation, token: str) -> tuple[int, str] | None:
    """What is said up to the line "TOKEN <exit code>": the code and the beginning of the rest; None where the end comes before it."""
    answer = re.compile(token.encode() + rb" (\d{1,3})\n")
    said = bytearray()
    while (piece := await stream.read()) is not None:
        said += piece[1]
        if (match := answer.search(said)) is not None:
            return int(match[1]), said[: match.start()].decode(errors="replace")[:_SAID_CHARACTERS]
        if len(said) > 2 * _KEPT_BYTES:  # its beginning is told, its end may be half an answer
            del said[_SAID_CHARACTERS:-_KEPT_BYTES]
    return None


async def _fed(stream: Conversation, source: Path) -> None:
    with await asyncio.to_thread(source.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            await stream.write(piece)
