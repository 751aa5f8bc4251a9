"""The schemas there are. A name of a schema stands in SQL text, where no parameter can stand: so it must be one of these."""

from typing import Final

SCHEMAS: Final = frozenset({"gateway", "scheduler"})


def checked(schema: str) -> str:
    """The same name. Raises ValueError for a schema without outbox and inbox."""
    if schema not in SCHEMAS:
        raise ValueError(f"no schema of this name has an outbox and an inbox: {schema!r}")
    return schema
