"""`python -m deploy.embedded.scripted --port N COMMAND…`: a scripted model that has the agent run these commands."""

import argparse
import asyncio
from collections.abc import Sequence

from deploy.embedded.scripted.server import ScriptedModel
from deploy.embedded.scripted.steps import shell_script


async def _serve(host: str, port: int, commands: Sequence[str], last_words: str) -> None:
    print(await ScriptedModel(shell_script(commands, last_words)).start(host, port), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve a scripted Messages and Responses API on loopback.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--say", default="Done.", help="its last words")
    parser.add_argument("command", nargs="*", help="shell commands the model has the agent run, in order")
    given = parser.parse_args()
    asyncio.run(_serve(given.host, given.port, given.command, given.say))
