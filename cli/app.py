"""The command line as a whole: it puts the groups of commands together and holds none itself."""

import typer

from cli import operator

app = typer.Typer(
    name="async-code",
    help="Hand coding tasks to AI agents and get back reviewed branches.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
operator.add_to(app)
