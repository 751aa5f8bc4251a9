"""Whether a name can be a git branch: git-check-ref-format(1), and nothing that a command line could take for an option."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

MAX_BYTES: Final = 200
_REFUSED: Final = re.compile(r"[\x00-\x20\x7f\ud800-\udfff~^:?*\[\\]|\.\.|@\{|//|(?:^|/)\.|\.(?:lock)?(?:/|$)|^[-/]|/$|^@$")


def check(name: str) -> str:
    """`name`, when it can name a branch. Raises ValueError (PydanticCustomError)."""
    if not name or _REFUSED.search(name) or len(name.encode()) > MAX_BYTES:
        rule = "must be a branch name as git takes it (git-check-ref-format), of 1 to {max_bytes} bytes"
        raise PydanticCustomError("ref_format", rule, {"max_bytes": MAX_BYTES})
    return name


RefName = Annotated[str, AfterValidator(check)]
