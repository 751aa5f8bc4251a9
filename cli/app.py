"""The command line as a whole: it puts the groups of commands together and holds none itself."""

import typer

from cli import account, agent, credential, failing, operator, project, task, token, trail
from cli.demo import command as demo
from cli.exits import Exit

_CODES = "\n".join(f"  {code.value:>3}  {code.name.lower().replace('_', ' ')}" for code in Exit)
_END = f"""\b
Exit codes:
{_CODES}

\b
Settings:
  ASYNC_CODE_URL        the server; this machine's own without it
  ASYNC_CODE_TOKEN      an API token (or an access token) that goes before `login`
  ASYNC_CODE_STATE_DIR  where this machine's stack keeps its state

Output is for people on a terminal and JSON elsewhere, or with --json."""

app = typer.Typer(
    name="async-code",
    help="Hand coding tasks to AI agents and get back reviewed branches.",
    epilog=_END,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
operator.add_to(app)
for flat in (account.app, agent.app, demo.app):
    app.registered_commands += flat.registered_commands
app.add_typer(project.projects, name="project")
app.add_typer(project.repositories, name="repository")
app.add_typer(credential.app, name="credential")
app.add_typer(token.app, name="token")
app.add_typer(task.app, name="task")
app.add_typer(trail.app, name="audit")


def main() -> None:
    """Run a command and exit with its code; what cannot go on is said in two lines, never as a traceback."""
    failing.run(lambda: app(prog_name="./async-code", standalone_mode=False))
