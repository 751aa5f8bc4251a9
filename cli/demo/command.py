"""`./async-code demo`."""

import os

import typer

from cli.examples import examples
from cli.exits import Exit

app = typer.Typer()


@app.command(epilog=examples("demo", "demo  # with ANTHROPIC_API_KEY set: on the real model"))
def demo() -> None:
    """Try everything: set the system up, let a script and Claude Code fix a failing test, show what came of it, and leave the stack up.

    Uses `ANTHROPIC_API_KEY` if it is set; otherwise a local scripted model answers the real Claude Code.
    """
    from cli import printing  # noqa: PLC0415 - the servers' libraries would slow down every other command
    from cli.context import current, layout  # noqa: PLC0415
    from cli.demo import story  # noqa: PLC0415
    from deploy.embedded import commands, daemon, settings  # noqa: PLC0415

    plan = story.Settings(os.environ.get("ANTHROPIC_API_KEY") or None)
    here = layout()
    stored = settings.load(here.settings)
    wanted = plan.variables()
    if daemon.running(here) and any(stored.get(name.removeprefix(settings.PREFIX)) != value for name, value in wanted.items()):
        printing.note("The stack runs with other settings; it is started anew with those of the demo.")
        commands.down()
    os.environ.update(wanted)
    if commands.up() != 0:
        raise typer.Exit(Exit.UNREACHABLE)
    story.tell(current(), plan.real_key)
