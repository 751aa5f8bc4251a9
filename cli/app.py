"""The command line as a whole: it puts the groups of commands together and holds none itself."""

import sys

import typer

from cli import account, operator, printing, project, task, trail
from cli.demo import command as demo
from cli.exits import CliError, Exit

app = typer.Typer(
    name="async-code",
    help="Hand coding tasks to AI agents and get back reviewed branches.",
    epilog="Exit codes: " + " · ".join(f"{code.value} {code.name.lower().replace('_', ' ')}" for code in Exit),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
operator.add_to(app)
for flat in (account.app, demo.app):
    app.registered_commands += flat.registered_commands
app.add_typer(project.projects, name="project")
app.add_typer(project.repositories, name="repository")
app.add_typer(project.credentials, name="credential")
app.add_typer(task.app, name="task")
app.add_typer(trail.app, name="audit")


def main() -> None:
    """Run a command; what cannot go on is said in two lines, never as a traceback."""
    try:
        app(prog_name="async-code")
    except CliError as error:
        printing.err.print(f"[red]async-code:[/red] {printing.shown(error)}")
        if error.advice:
            printing.err.print(printing.shown(error.advice))
        sys.exit(error.code)
    except BrokenPipeError:
        sys.exit(Exit.FAILED)
