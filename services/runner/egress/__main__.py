"""Start the egress process: `python -m services.runner.egress`."""

from services.runner.egress.app import egress
from services.runner.egress.packages.settings import PackageSettings
from services.runner.egress.settings import EgressSettings
from shared.telemetry import logging, service
from shared.telemetry.health import HealthSettings

if __name__ == "__main__":
    logging.configure("egress")
    settings = EgressSettings()  # pyright: ignore[reportCallIssue] - read from the environment
    service.run(lambda: egress(settings, PackageSettings(), HealthSettings()))
