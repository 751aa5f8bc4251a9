"""Start the runner: `python -m services.runner`."""

from services.runner.app import runner
from services.runner.settings import RunnerSettings
from shared.bus.settings import BusSettings
from shared.telemetry import logging, service
from shared.telemetry.health import HealthSettings

if __name__ == "__main__":
    logging.configure("runner")
    service.run(
        lambda: runner(
            RunnerSettings(),  # pyright: ignore[reportCallIssue] - read from the environment
            BusSettings(),  # pyright: ignore[reportCallIssue] - as above
            HealthSettings(),
        )
    )
