"""What a project's environment looks like from outside."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from services.gateway.text import Request, Resource, storable
from shared.events.environments import Directory, Environment, FilePattern, ImageName
from shared.events.ids import Sha256


def _absolute(path: object) -> object:
    """What does not begin at the root lies in the repository."""
    return f"/workspace/{path}" if isinstance(path, str) and not path.startswith("/") else path


class NewEnvironment(Request, Environment):
    """What the sandboxes of a project's tasks shall hold beside the repository: an image, what a script makes, or both."""

    image: Annotated[
        ImageName | None, Field(description="In place of the agent's, on which it must stand; one that the operator allows.")
    ] = None
    setup_script: Annotated[
        Annotated[str, AfterValidator(storable)] | None,
        Field(description="For bash, at most 64 KiB; it runs in a sandbox of its own, without a model key. It never enters a message."),
    ] = None
    directories: Annotated[
        tuple[Annotated[Directory, BeforeValidator(_absolute)], ...],
        Field(max_length=16, description="What is kept of it: below /workspace, or relative to it, or /home/agent. No part of a change."),
    ] = ()
    lock_files: Annotated[
        tuple[FilePattern, ...],
        Field(max_length=32, description="The only files of the repository that the script sees: where they change, it runs anew."),
    ] = ()
    timeout_seconds: Annotated[int, Field(ge=1, le=1_800)] = 600


class EnvironmentSummary(Resource):
    """A project's environment without its script."""

    digest: Annotated[Sha256, Field(description="Of this version, with a salt: the trail knows it by this.")]
    image: str | None
    directories: tuple[str, ...]
    lock_files: tuple[str, ...]
    timeout_seconds: int
    script_bytes: int


class EnvironmentDetail(EnvironmentSummary):
    """A project's environment."""

    setup_script: str | None


def summary(digest: Sha256, environment: Environment) -> EnvironmentSummary:
    """Without the script, which may be long."""
    return EnvironmentSummary(
        digest=digest,
        image=environment.image,
        directories=environment.directories,
        lock_files=environment.lock_files,
        timeout_seconds=environment.timeout_seconds,
        script_bytes=len((environment.setup_script or "").encode()),
    )


def detail(digest: Sha256, environment: Environment) -> EnvironmentDetail:
    """All of it."""
    return EnvironmentDetail(**dict(summary(digest, environment)), setup_script=environment.setup_script)
