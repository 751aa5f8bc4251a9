import asyncio

from services.runner import errors
from services.runner.errors import RunFailure
from services.runner.stopping import CODES, Clocks, Stop
from shared.events import failures
from shared.events.values import Fate, Limits


async def test_the_first_reason_counts() -> None:
    stop = Stop()
    stop.ask("cancelled")
    stop.ask("wall_time")
    await stop.wait()
    assert stop.code == "cancelled"


async def test_work_goes_on_until_the_stop() -> None:
    stop = Stop()
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    doing = asyncio.create_task(stop.unless(work()))
    await begun.wait()
    stop.ask("cancelled")
    assert await doing is None
    assert ended.is_set()
    assert await Stop().unless(asyncio.sleep(0, "done")) == "done"


async def test_idle_and_wall_limits() -> None:
    for limits, code in ((Limits(idle_seconds=1, wall_seconds=60), "idle_time"), (Limits(idle_seconds=60, wall_seconds=1), "wall_time")):
        stop = Stop()
        clocks = Clocks(limits)
        clocks.start()
        await clocks.watch(stop)
        assert stop.code == code


def test_every_code_is_in_the_catalogue() -> None:
    codes = {error.CODE for error in vars(errors).values() if isinstance(error, type) and issubclass(error, RunFailure)}
    assert codes | set(CODES.values()) <= failures.CODES
    assert set(CODES) == set(Fate)
