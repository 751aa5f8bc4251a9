"""The audit service's own variables, `AUDIT_…`."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict


class AuditSettings(BaseSettings):
    """Where the key and the published checkpoints are, and how closely the trail is sealed."""

    model_config = SettingsConfigDict(env_prefix="AUDIT_", frozen=True)

    signing_key_file: Path
    """PEM, mode 0600; made at the first start. The verifier key stands in `<file>.pub`."""
    checkpoint_file: Path
    """Published checkpoints, outside the database. To prove something against the operator too, copy it off the machine."""
    origin: Annotated[str, StringConstraints(pattern=r"^[^\s+]{1,128}$")] = "async-code.local/trail"
    """The log's name in its checkpoints and the name of its key. It never changes."""
    seal_entries: Annotated[int, Field(ge=1)] = 1_000
    """A checkpoint at the latest after so many entries ..."""
    seal_seconds: Annotated[float, Field(gt=0)] = 1.0
    """... or so long after the first one without."""
    max_lag: Annotated[int, Field(ge=0)] = 10_000
    """Not ready when more messages than this are not in the log yet."""
    max_unsealed: Annotated[int, Field(ge=1)] = 10_000
    """Not ready when more entries than this have no checkpoint over them."""
