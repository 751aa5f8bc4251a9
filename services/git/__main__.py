"""`python -m services.git`: start only."""

from services.git.app import app
from services.git.settings import GitSettings
from shared.bus.settings import BusSettings
from shared.telemetry import logging, service
from shared.telemetry.health import HealthSettings

if __name__ == "__main__":
    logging.configure("git")
    # The settings come from the environment, which the type checker cannot see.
    service.run(lambda: app(GitSettings(), BusSettings(), HealthSettings()))  # pyright: ignore[reportCallIssue]
