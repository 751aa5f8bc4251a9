"""A relay as a process of its own, to be killed: `python -m tests.integration.shared.store.relay_process`.

It publishes to NATS where NATS_URL is set, else by appending to the file RECORD, and then says the message id on standard output. At the
message HOLD_AT it stops between publishing and deleting, for ever.
"""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

from shared.bus.connection import Bus
from shared.bus.settings import BusSettings
from shared.store import Database, Outbox, OutboxRow, Publish, Relay, StoreSettings


async def _to_file(row: OutboxRow) -> None:
    with Path(os.environ["RECORD"]).open("a") as record:  # noqa: ASYNC230 - the order of the lines is the point
        record.write(f"{os.getpid()} {row.message_id}\n")


async def main() -> None:
    publish: Publish = (await Bus.connect(BusSettings())).relay if "NATS_URL" in os.environ else _to_file  # type: ignore[call-arg]

    async def publish_and_say(row: OutboxRow) -> None:
        await publish(row)
        print(row.message_id, flush=True)  # noqa: T201 - the test waits for it
        if row.message_id == os.environ.get("HOLD_AT"):
            await asyncio.Event().wait()

    database = await Database.open(StoreSettings())  # type: ignore[call-arg]
    relay = asyncio.create_task(Relay(database, Outbox("scheduler"), publish_and_say).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, relay.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await relay


if __name__ == "__main__":
    asyncio.run(main())
