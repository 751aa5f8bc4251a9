"""The name of a task's branch: `async-code/<first 8 of the task's id>-<slug of its title>`.

Pure and total: any title gives a name that git accepts (git-check-ref-format(1)) and that needs no quoting anywhere.
"""

import re
import unicodedata
from typing import Final

from shared.events.ids import TaskId

PREFIX: Final = "async-code/"
MAX_SLUG_CHARS: Final = 40

_OTHERS = re.compile(r"[^a-z0-9]+")


def slug(title: str) -> str:
    """`title` in lowercase ASCII letters, digits and single dashes, at most `MAX_SLUG_CHARS`; empty where nothing of it is left."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return _OTHERS.sub("-", plain).strip("-")[:MAX_SLUG_CHARS].strip("-")


def branch(task_id: TaskId, title: str) -> str:
    """The branch a task's change is pushed to."""
    name = slug(title)
    return f"{PREFIX}{task_id[:8]}-{name}" if name else f"{PREFIX}{task_id[:8]}"
