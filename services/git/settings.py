"""What an operator sets for the git service: variables that begin with `GIT_`."""

import json
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.git.command import MIB


def _listed(value: Any) -> Any:
    """A list as JSON or with commas."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [part.strip() for part in value.split(",") if part.strip()]


_Listed = (NoDecode, BeforeValidator(_listed))
_Bytes = Annotated[int, Field(ge=1024)]
_Seconds = Annotated[float, Field(gt=0, le=86_400)]


class GitSettings(BaseSettings):
    """Everything has a default but the two places. Lists are JSON, or separated by commas."""

    model_config = SettingsConfigDict(env_prefix="GIT_", frozen=True, extra="ignore")

    keyring_file: Path
    """The private keys that open git tokens, mode 0600."""
    cache_dir: Path
    """Mirrors and work in progress; may be lost at any time. One directory per process."""

    allow_protocols: Annotated[frozenset[Literal["https", "http", "file"]], *_Listed] = frozenset({"https"})
    """`https` is always allowed. `http` sends tokens readable by others. `file` reads, and pushes to, this machine's repositories."""
    allow_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], *_Listed] = ()
    """Networks to reach although they are not public."""
    file_directories: Annotated[tuple[Path, ...], *_Listed] = ()
    """`file` repositories must lie below these, and may then belong to other users. Empty: anywhere, owned by this service's user."""
    ca_bundle: Path | None = None
    """Certificate authorities to trust instead of the system's."""

    slots: Annotated[int, Field(ge=1, le=64)] = 4
    """Commands handled at a time."""
    attempts: Annotated[int, Field(ge=1, le=5)] = 4
    """How often a remote that does not answer is tried: 1, 5 and 30 seconds apart."""
    identity_name: str = "Async Code"
    identity_email: str = "async-code@localhost"
    """Author and committer of every commit."""

    snapshot_depth: Annotated[int, Field(ge=1, le=1_000)] = 1
    """Commits of history a sandbox gets."""
    max_repository_bytes: _Bytes = 4096 * MIB
    """Of one pack the remote sends."""
    max_workspace_bytes: _Bytes = 512 * MIB
    """Of the snapshot."""
    max_result_bytes: _Bytes = 256 * MIB
    """Of the sandbox's pack."""
    max_patch_bytes: _Bytes = 48 * MIB
    max_cache_bytes: _Bytes = 20 * 1024 * MIB
    """Of all mirrors: those used longest ago go first."""
    max_memory_bytes: _Bytes = 4096 * MIB
    """Of address space of a command that reads what a sandbox made."""
    remote_seconds: _Seconds = 600.0
    """For one fetch or push."""
    local_seconds: _Seconds = 300.0
    """For one command on our own files."""
