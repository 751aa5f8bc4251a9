"""What a project looks like from outside."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from services.gateway.text import Line, Request, Resource
from shared.events.ids import ProjectId
from shared.events.values import PublishPolicy

PathPattern = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class NewProject(Request):
    """A project to make."""

    name: Line
    publish_policy: Annotated[PublishPolicy, Field(description="`auto` pushes at once, `ask` waits for approval of every change.")] = (
        PublishPolicy.AUTO
    )
    protected_paths: Annotated[
        tuple[PathPattern, ...], Field(max_length=100, description="Changes to these wait for approval, beside what CI executes.")
    ] = ()


class Project(Resource):
    """A project: repositories and the tasks on them."""

    id: ProjectId
    name: str
    publish_policy: PublishPolicy
    protected_paths: list[str]
    created_at: datetime
