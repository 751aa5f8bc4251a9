"""The most that a task may ask for: the operator's word, within the bounds that messages have. Pure."""

from services.gateway.errors import FieldError, Invalid
from shared.events.values import Limits


class Ceilings(Limits):
    """`GATEWAY_MAX_LIMITS`, as JSON with the fields that differ. Disks lie in memory, so both count against the runner's machine."""

    wall_seconds: int = 86_400
    idle_seconds: int = 86_400
    memory_mib: int = 16_384
    cpus: float = 64
    pids: int = 4_096
    disk_mib: int = 16_384
    max_turns: int = 1_000
    max_cost_usd: float = 1_000


def check(limits: Limits, ceilings: Ceilings) -> None:
    """Raise Invalid, with every field that is over its ceiling."""
    over = tuple(
        FieldError(f"body.limits.{name}", "over_ceiling", f"must be at most {ceiling} here")
        for name, ceiling in ceilings
        if getattr(limits, name) > ceiling
    )
    if over:
        raise Invalid(f"{len(over)} limit(s) are over what the operator allows.", errors=over)
