"""Examples at the end of a command's `--help`, each on a line of its own. Tests run every one of them through the parser."""


def examples(*commands: str) -> str:
    r"""The epilog that shows these commands; `\b` keeps its lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  ./async-code {command}" for command in commands)
