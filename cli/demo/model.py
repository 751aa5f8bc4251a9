"""The demo's local model: `python -m cli.demo.model --port N`. It knows the demo's one task, and says so about every other."""

import argparse
import asyncio
import json
from collections.abc import Sequence
from typing import Any

from cli.demo.repository import TEST
from deploy.embedded.scripted.server import ScriptedModel
from deploy.embedded.scripted.steps import Edit, Read, Run, Say, Step

PROMPT = "A test of this repository fails. Find out why and fix the code, not the test."

_FILE = "/workspace/basket.py"
FIX: Sequence[Step] = (
    Run(TEST, "I run the tests first."),
    Read(_FILE, "One fails: the discount. I look at the code."),
    Edit(
        _FILE,
        "    whole = sum(price * (100 - discount_percent) // 100 for price in prices)",
        "    whole = sum(prices)",
        "The discount is taken from every price and then once more from the sum. I take it once.",
    ),
    Run(TEST),
    Say("The discount was taken twice; it is now taken once, from the sum. Both tests pass."),
)

ELSE: Sequence[Step] = (
    Say(
        "I am the local scripted model of the demo and know one task only. Store a real key to go on: "
        "start the stack with ASYNC_CODE_SCRIPTED_MODEL=false and run `./async-code credential add model_key --vendor anthropic`."
    ),
)


def script(body: dict[str, Any]) -> Sequence[Step]:
    """The steps for the conversation in this request."""
    return FIX if PROMPT in json.dumps(body.get("messages", []), ensure_ascii=False) else ELSE


async def _serve(port: int) -> None:
    print(await ScriptedModel(script).start(port=port), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve the demo's scripted model on loopback.")
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(_serve(parser.parse_args().port))
