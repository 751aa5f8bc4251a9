"""The event table of docs/architecture.md, made from the code: `python -m shared.events.page` writes it, a test holds the page to it."""

from pathlib import Path

from shared.events.catalogue import ENDINGS, TYPES
from shared.events.payload import Kind, Payload

PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
BEGIN, END = "<!-- events: made from shared/events -->", "<!-- events: end -->"


def table() -> str:
    """Every command and fact in a Markdown table."""
    rows = ["| message | says | fields |", "|---|---|---|"]
    for name, payload in sorted(TYPES.items(), key=lambda item: (item[1].KIND is not Kind.COMMAND, item[0])):
        rows.append(f"| `{payload.KIND}.{name.removesuffix('.v1')}` | {_says(payload)} | {_fields(payload)} |")
    return "\n".join(rows) + "\n"


def _says(payload: type[Payload]) -> str:
    first = (payload.__doc__ or "").strip().splitlines()[0]
    endings = next((facts for command, facts in ENDINGS.items() if command is payload), ())
    names = ", ".join(f"`{fact.TYPE.removesuffix('.v1')}`" for fact in endings)
    return f"{first} Ends in one of {names}." if names else first


def _fields(payload: type[Payload]) -> str:
    return ", ".join(f"`{name}`" for name in payload.model_fields)


def replaced(text: str) -> str:
    """The page with the table of today in it."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text()))
