"""Starts the embedded auth server: `python -m deploy.embedded.auth`."""

import uvicorn

from deploy.embedded.auth.app import create
from deploy.embedded.auth.settings import AuthSettings
from shared.store.settings import StoreSettings
from shared.telemetry import logging


def main() -> None:
    """Serve until SIGTERM."""
    logging.configure("auth")
    settings = AuthSettings()  # type: ignore[call-arg] - from the environment
    app = create(settings, StoreSettings())  # type: ignore[call-arg] - from the environment
    # Its own access log would hold addresses; what matters is logged as events.
    uvicorn.run(app, host=settings.host, port=settings.port, access_log=False, log_config=None, server_header=False, loop="uvloop")


if __name__ == "__main__":
    main()
