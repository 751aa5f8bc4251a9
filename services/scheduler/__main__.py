"""Start only: `python -m services.scheduler`."""

from services.scheduler.app import app
from services.scheduler.settings import SchedulerSettings
from shared.bus.settings import BusSettings
from shared.store.settings import StoreSettings
from shared.telemetry import logging, service
from shared.telemetry.health import HealthSettings

if __name__ == "__main__":
    logging.configure("scheduler")
    service.run(
        # The rest of each comes from the environment, which the type checker cannot see.
        lambda: app(
            SchedulerSettings(),
            BusSettings(),  # pyright: ignore[reportCallIssue]
            StoreSettings(),  # pyright: ignore[reportCallIssue]
            HealthSettings(),
        )
    )
