"""Commands of whoever runs the stack on this machine: up, down, status, version."""

from typing import Annotated

import typer

VERSION = "0.1.0"


def up(
    *,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop the stack on Ctrl-C.")] = False,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Build the sandboxes' images where they are missing.")] = True,
) -> None:
    """Start everything on this machine and say where it is. Does nothing to a stack that runs."""
    from deploy.embedded import commands  # noqa: PLC0415 - the servers' libraries would slow down every other command

    raise typer.Exit(commands.up(foreground=foreground, images=images))


def down() -> None:
    """Stop everything: processes, sandboxes, and a Docker engine that was started for them. Nothing that was made is lost."""
    from deploy.embedded import commands  # noqa: PLC0415 - the servers' libraries would slow down every other command

    raise typer.Exit(commands.down())


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, also on a terminal.")] = False,
) -> None:
    """Show every process. Ends with 0 when all are ready, 1 when some are not, 3 when the stack does not run."""
    from deploy.embedded import commands  # noqa: PLC0415 - the servers' libraries would slow down every other command

    raise typer.Exit(commands.status(as_json=as_json))


def version() -> None:
    """Print the version."""
    typer.echo(VERSION)


def add_to(app: typer.Typer) -> None:
    """Make these commands of `app`."""
    for command in (up, down, status, version):
        app.command()(command)
