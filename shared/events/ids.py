"""Identifiers of everything a message can name.

All ids are lowercase UUID strings. Projects, tasks, credentials and events without a cause get a random one (`fresh`); whatever
follows from a message gets `derive(parent, subject)`, so that a repeated effect carries the same id and is stored once.
"""

import re
import uuid
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, StringConstraints
from pydantic_core import core_schema

UUID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"
GIT_SHA_PATTERN = r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$"


class _Id(str):
    """A UUID string that is its own type, so that ids of different things cannot be mixed up; the pattern is checked on parsing."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(pattern=UUID_PATTERN))


class EventId(_Id):
    """A command or fact; also its `Nats-Msg-Id`."""


class OwnerId(_Id):
    """The creator's `sub` claim, for ever: sharing is resolved in the gateway alone."""


class ProjectId(_Id):
    """A project."""


class RepositoryId(_Id):
    """A repository of a project."""


class CredentialId(_Id):
    """A stored credential."""


class TokenId(_Id):
    """An API token, never the token itself."""


class TaskId(_Id):
    """A task."""


class RunId(_Id):
    """One run of an agent for a task."""


class SessionId(_Id):
    """A conversation that an agent can go on with."""


Sha256 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
GitSha = Annotated[str, StringConstraints(pattern=GIT_SHA_PATTERN)]

_UUID = re.compile(UUID_PATTERN)


def fresh() -> str:
    """A random id (uuid4) for something that no message caused."""
    return str(uuid.uuid4())


def derive(parent: str, subject: str) -> str:
    """The id (uuid5) of what follows from `parent`: the same parent and subject always give the same id."""
    return str(uuid.uuid5(uuid.UUID(parent), subject))


def is_uuid(text: str) -> bool:
    """Whether `text` is an id in our one spelling: lowercase, with dashes."""
    return _UUID.fullmatch(text) is not None
