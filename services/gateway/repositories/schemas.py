"""What a repository of a project looks like from outside."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from services.gateway.repositories.refs import RefName
from services.gateway.text import Request, Resource
from shared.events.ids import ProjectId, RepositoryId


class NewRepository(Request):
    """A repository to add to a project."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2048), Field(examples=["https://example.com/team/repository.git"])]
    default_base_ref: Annotated[RefName | None, Field(description="The branch tasks start from; null: the remote's default.")] = None


class Repository(Resource):
    """A repository tasks can work on."""

    id: RepositoryId
    project_id: ProjectId
    url: str
    host: Annotated[str, Field(description="Tokens stored for this host are used for it.")]
    default_base_ref: str | None
    created_at: datetime
