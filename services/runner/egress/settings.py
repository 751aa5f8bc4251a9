"""The egress process's variables."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict


class EgressSettings(BaseSettings):
    """Read once, at start, from the environment (prefix `EGRESS_`)."""

    model_config = SettingsConfigDict(env_prefix="EGRESS_", frozen=True)

    keyring_file: Path
    """The private keys that open model keys; 0600, readable by this process alone."""
    control_socket: Path
    """Where the runner asks for doors. Its directory decides who may."""
    sockets_dir: Path
    """A directory per run is made here; the sandbox gets it read-only."""
    state_dir: Path
    """What each run has spent, so that a restart forgets no cost."""
    anthropic_base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/@?#\s]+$")] = "https://api.anthropic.com"
    """The one upstream of the Anthropic API: scheme, host and port, fixed by the operator."""
    openai_base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/@?#\s]+$")] = "https://api.openai.com"
    """The one upstream of the OpenAI API, likewise."""
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Networks outside the public internet that the upstreams may lie in: a local model server."""
    ca_bundle: Path | None = None
    """Certificates to trust instead of the system's."""
    prices_file: Path | None = None
    """Prices that come before the shipped ones, model by model (docs/prices.md)."""
    unknown_model: Literal["dearest", "refuse"] = "dearest"
    """A model without a price: priced at its vendor's dearest, or refused."""
    max_body_bytes: Annotated[int, Field(ge=1_024)] = 32 * 1024 * 1024
    patience_seconds: Annotated[float, Field(ge=0)] = 60
    """How long in a row an upstream that fails is asked again before the run ends by it."""
    upstream_idle_seconds: Annotated[float, Field(gt=0)] = 600
    """How long the upstream may say nothing in the middle of an answer."""
