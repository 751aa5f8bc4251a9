"""What a project looks like from outside."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from services.gateway.agent_options import AgentDefaults
from services.gateway.text import Line, Request, Resource
from shared.events.ids import ProjectId, Sha256
from shared.events.values import AgentName, Ecosystem, PublishPolicy

PathPattern = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _each_once(ecosystems: tuple[Ecosystem, ...]) -> tuple[Ecosystem, ...]:
    """In one order, so that the same list is the same fact."""
    return tuple(ecosystem for ecosystem in Ecosystem if ecosystem in ecosystems)


Allowed = Annotated[
    tuple[Ecosystem, ...],
    AfterValidator(_each_once),
    Field(max_length=2 * len(Ecosystem), description="Whose packages the sandboxes of its tasks may read; nobody's by default."),
]


class NewProject(Request):
    """A project to make."""

    name: Line
    publish_policy: Annotated[PublishPolicy, Field(description="`auto` pushes at once, `ask` waits for approval of every change.")] = (
        PublishPolicy.AUTO
    )
    protected_paths: Annotated[
        tuple[PathPattern, ...], Field(max_length=100, description="Changes to these wait for approval, beside what CI executes.")
    ] = ()
    allow_packages: Allowed = ()
    agent_defaults: Annotated[
        dict[AgentName, AgentDefaults],
        Field(default_factory=dict, max_length=16, description="By agent: how it works here where a task does not say."),
    ]


class ProjectChange(Request):
    """What to change of a project; what is left out stays. It holds for the tasks that are handed in from then on."""

    allow_packages: Allowed | None = None


class Project(Resource):
    """A project: repositories and the tasks on them."""

    id: ProjectId
    name: str
    publish_policy: PublishPolicy
    protected_paths: list[str]
    allow_packages: list[Ecosystem]
    agent_defaults: dict[AgentName, AgentDefaults]
    environment_digest: Annotated[
        Sha256 | None, Field(description="Of the environment of its tasks, as GET …/environment tells it; null: it has none.")
    ] = None
    created_at: datetime
