"""Commands of whoever runs the stack on this machine: up, down, status, images, version.

What the servers need is imported where it is used: it would slow down every other command.
"""

import contextlib
import sys
from typing import Annotated

import typer

from cli import printing
from cli.connection import VERSION
from cli.context import JsonFlag, layout, machine, own_server
from cli.examples import examples
from cli.exits import CliError, Exit


def up(
    *,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and stop the stack on Ctrl-C.")] = False,
    images: Annotated[bool, typer.Option("--images/--no-images", help="Build the sandboxes' images where they are missing.")] = True,
    json_flag: JsonFlag = False,
) -> None:
    """Start everything on this machine and say where it is. Does nothing to a stack that runs."""
    from deploy.embedded import commands  # noqa: PLC0415

    with _told(json_flag):
        code = commands.up(foreground=foreground, images=images)
    if code == Exit.OK and machine(json_flag):
        printing.document({"url": own_server(), "sign_in": str(layout().sign_in)})
    raise typer.Exit(code)


def down(*, json_flag: JsonFlag = False) -> None:
    """Stop everything: processes, sandboxes, and a Docker engine that was started for them. Nothing that was made is lost."""
    from deploy.embedded import commands  # noqa: PLC0415

    with _told(json_flag):
        code = commands.down()
    if machine(json_flag):
        printing.document({"stopped": code == Exit.OK})
    raise typer.Exit(code)


def status(*, json_flag: JsonFlag = False) -> None:
    """Show every process. Ends with 0 when all are ready, 1 when some are not, 3 when the stack does not run."""
    from deploy.embedded import commands  # noqa: PLC0415

    raise typer.Exit(commands.status(as_json=machine(json_flag)))


def images(*, json_flag: JsonFlag = False) -> None:
    """Build the images that agents run in, where they are missing. The first time takes some minutes."""
    from deploy.images.build import ensure_images  # noqa: PLC0415
    from deploy.images.errors import ImageBuildError  # noqa: PLC0415

    try:
        built = ensure_images(lambda text: printing.note(f"  {text}"))
    except ImageBuildError as error:
        raise CliError(f"The images could not be built: {error}", "Then run again: ./async-code images") from error
    if machine(json_flag):
        printing.document(built)
    else:
        printing.table(["agent", "image"], built.items())


def version(*, json_flag: JsonFlag = False) -> None:
    """Print the version."""
    if machine(json_flag):
        printing.document({"version": VERSION})
    else:
        printing.say(VERSION)


def _told(json_flag: bool) -> contextlib.AbstractContextManager[object]:
    """What the deployment says to people goes beside the output where a program reads that."""
    return contextlib.redirect_stdout(sys.stderr) if machine(json_flag) else contextlib.nullcontext()


def add_to(app: typer.Typer) -> None:
    """Make these commands of `app`."""
    for command, shown in (
        (up, ("up", "up --no-images", "up --foreground")),
        (down, ("down",)),
        (status, ("status", "status --json")),
        (images, ("images",)),
        (version, ("version",)),
    ):
        app.command(epilog=examples(*shown))(command)
