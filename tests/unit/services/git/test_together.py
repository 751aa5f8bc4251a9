import asyncio

import pytest

from services.git.errors import PackRefused
from services.git.together import both


async def test_both_are_done_at_once_and_both_results_come_back() -> None:
    met = asyncio.Barrier(2)

    async def one(result: str) -> str:
        async with asyncio.timeout(10), met:
            return result

    assert await both(one("first"), one("second")) == ("first", "second")


async def test_a_failure_ends_the_other_and_is_raised_as_it_is() -> None:
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        raise PackRefused("git refused the pack")

    with pytest.raises(PackRefused, match="git refused the pack"):
        await both(waits(), fails())
    assert ended.is_set()
