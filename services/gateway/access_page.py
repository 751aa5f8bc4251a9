"""The table of docs/security.md of who may call what: `python -m services.gateway.access_page` writes it, a test holds the page to it."""

from pathlib import Path
from typing import Final

from services.gateway.access import TABLE, Who

PAGE: Final = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN: Final = "<!-- begin: python -m services.gateway.access_page -->"
END: Final = "<!-- end: python -m services.gateway.access_page -->"
_TOKENS: Final = {Who.ANYONE: "needs none", Who.CALLER: "any", Who.PERSON: "none: a person must"}


def table() -> str:
    """Every route with what an API token needs for it."""
    rows = ["| request | an API token's scope |", "|---|---|"]
    for (method, path), need in TABLE.items():
        rows.append(f"| `{method} {path}` | {_TOKENS[need] if isinstance(need, Who) else f'`{need}`'} |")
    return "\n".join(rows) + "\n"


def replaced(text: str) -> str:
    """The page with the table of today in it."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text()))
