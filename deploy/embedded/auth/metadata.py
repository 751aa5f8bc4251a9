"""What a user may say about an account: JSON that the database holds and every access token carries. Pure."""

import json
from typing import Any

MAX_CHARS = 4 * 1024


def storable(metadata: dict[str, Any]) -> dict[str, Any]:
    """What Postgres holds as JSON and a token can carry: it stands in every access token, and a longer one the gateway does not read.

    Raises ValueError.
    """
    try:
        text = json.dumps(metadata, allow_nan=False)
    except RecursionError as error:
        raise ValueError("metadata is nested too deep") from error
    if len(text) > MAX_CHARS or "\\u0000" in text:
        raise ValueError(f"metadata has at most {MAX_CHARS} characters, and no NUL among them")
    return metadata
