"""Start only."""

from contextlib import AbstractAsyncContextManager

from services.audit.app import app
from services.audit.settings import AuditSettings
from shared.bus.settings import BusSettings
from shared.store.settings import StoreSettings
from shared.telemetry import logging, service
from shared.telemetry.health import HealthSettings


def _app() -> AbstractAsyncContextManager[None]:
    # Each setting comes from the environment, which pyright cannot see.
    return app(AuditSettings(), StoreSettings(), BusSettings(), HealthSettings())  # pyright: ignore[reportCallIssue]


if __name__ == "__main__":
    logging.configure("audit")
    service.run(_app)
