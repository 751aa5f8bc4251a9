"""The forms of text people may send, each rule with a stable name, and the roots of what is sent and shown."""

import unicodedata
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError

_CONTROL: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


class Request(BaseModel):
    """What a client sends. Unknown fields are refused: a misspelt one would otherwise be a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Resource(BaseModel):
    """What a client is shown. Fields are added over time; clients ignore those they do not know."""

    model_config = ConfigDict(frozen=True)


def _one_line(text: str) -> str:
    if any(unicodedata.category(character) in _CONTROL for character in text):
        raise PydanticCustomError("one_line", "must be one line without control characters")
    return text


def storable(text: str) -> str:
    """`text`, when Postgres can hold it: well-formed and without NUL. Raises ValueError (PydanticCustomError)."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise PydanticCustomError("string_unicode", "must be well-formed Unicode: it holds half of a surrogate pair")
    if "\x00" in text:
        raise PydanticCustomError("no_nul", "must not hold NUL characters: they cannot be stored as text")
    return text


Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_one_line)]
"""One line a person reads: a name, a title."""
