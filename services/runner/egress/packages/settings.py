"""The package proxies' variables: where each family of packages comes from, and how much of it is kept."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.events.values import Ecosystem

Address = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?$", max_length=500)]
"""Scheme, host, port and path. No credentials: what a sandbox's question leads to is asked as nobody."""
Origin = Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$", max_length=300)]
ModulePrefix = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+(/[A-Za-z0-9._~-]+)*$", max_length=200)]


class PackageSettings(BaseSettings):
    """Read once, at start, from the environment (prefix `EGRESS_PACKAGES_`). A family without an address is served to nobody."""

    model_config = SettingsConfigDict(env_prefix="EGRESS_PACKAGES_", frozen=True)

    pip: Address | None = None
    """The simple index (PEP 503, 691)."""
    npm: Address | None = None
    cargo: Address | None = None
    """The sparse index (RFC 2789)."""
    go: Address | None = None
    """A module proxy; never `direct`."""
    debian: tuple[Address, ...] = ()
    """Archives, in the order in which a sandbox names them: `/packages/debian/0`, `/1`, …"""
    file_origins: tuple[Origin, ...] = ()
    """Where files may lie besides the registry that names them: indexes link to them, and redirects lead there."""
    go_modules: tuple[ModulePrefix, ...] = ("github.com", "golang.org/x", "google.golang.org", "gopkg.in", "go.uber.org", "k8s.io")
    """The beginnings of module paths. A module proxy fetches a path from the host that it names, so another host's is a way out."""
    cache_mib: Annotated[int, Field(ge=0)] = 2_048
    """How much of the registries' files is kept; 0 keeps nothing."""
    file_mib: Annotated[int, Field(ge=1)] = 512
    """The largest file that comes through."""
    index_mib: Annotated[int, Field(ge=1)] = 64
    """The largest list of versions, which is held in memory while it is rewritten."""
    max_requests: Annotated[int, Field(ge=1)] = 20_000
    """Questions of one run that reach a registry."""
    max_missing: Annotated[int, Field(ge=0)] = 200
    """Different things that do not exist and one run may ask for: a name says something to whoever reads the registry's log."""
    idle_seconds: Annotated[float, Field(gt=0)] = 60
    """How long a registry may say nothing in the middle of an answer."""
    answer_seconds: Annotated[float, Field(gt=0)] = 900
    """How long one answer may take altogether, whoever is slow."""
    cache_dir: Path | None = None
    """In the egress process's state directory where it is not given."""

    def addresses(self, ecosystem: Ecosystem) -> tuple[str, ...]:
        """Where its packages come from, without a slash at the end."""
        given = self.debian if ecosystem is Ecosystem.DEBIAN else (getattr(self, ecosystem.value),)
        return tuple(address.rstrip("/") for address in given if address is not None)

    def origins(self, ecosystem: Ecosystem) -> tuple[str, ...]:
        """Every place that a question about its packages may lead to: its registry first. A link names one of them by its number."""
        return tuple(dict.fromkeys((*(origin(address) for address in self.addresses(ecosystem)), *map(origin, self.file_origins))))


def placed(url: str, places: tuple[str, ...]) -> int | None:
    """Which of these places an address that others wrote lies at; None for none of them, and for what carries a name or password."""
    try:
        parts = urlsplit(url)
        found = origin(url)
    except ValueError:  # no address at all
        return None
    return places.index(found) if "@" not in parts.netloc and found in places else None


def leads_to(url: str) -> str | None:
    """The host of an address that others wrote; None where it has none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def origin(address: str) -> str:
    """Scheme, host and port, in one form."""
    parts = urlsplit(address)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    return f"{parts.scheme}://{(parts.hostname or '').lower()}{port}"
