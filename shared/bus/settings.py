"""Where the bus is and who we are on it."""

from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict


class BusSettings(BaseSettings):
    """`NATS_URL`, `NATS_USER`, `NATS_NKEY_FILE`, and what has a default."""

    model_config = SettingsConfigDict(env_prefix="NATS_", frozen=True)

    url: str
    """`nats://host:port`, or several with commas."""
    user: str
    """The service's name: its user, its inbox and its dead letters carry it."""
    nkey_file: Path
    """The secret seed, mode 0600."""
    ca_file: Path | None = None
    """Trust this authority, and speak TLS."""
    connect_seconds: float = 30
    """How long to wait for the server at start; afterwards a lost connection is tried again for ever."""
    grace_seconds: float = 15
    """How long handlers may go on after `stop`."""
    retry_delays_seconds: tuple[float, ...] = (1, 5, 30, 120)
    """What a command waits after its first, second, … failure; one more failure makes it a dead letter."""
