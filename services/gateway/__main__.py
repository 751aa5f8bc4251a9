"""`python -m services.gateway`."""

from services.gateway.app import app
from shared.telemetry import logging, service

if __name__ == "__main__":
    logging.configure("gateway")
    service.run(app)
