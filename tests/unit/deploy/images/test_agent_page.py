"""The page on adding an agent names the files there are, and its fifty lines are counted."""

import ast
import io
import re
import tokenize
from pathlib import Path

from deploy.images import recipe
from services.runner.agents import registry

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "adding-an-agent.md").read_text()

_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def _lines_in_functions(source: str) -> int:
    """How many lines of code the functions of a module hold below their heads: no comment, no docstring, no empty line."""
    nodes = list(ast.walk(ast.parse(source)))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    inside = {line for function in functions for line in range(function.body[0].lineno, (function.end_lineno or 0) + 1)}
    words = [node for node in nodes if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    said = {line for node in words for line in range(node.lineno, (node.end_lineno or 0) + 1)}
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in _NO_CODE]
    code = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    return len(code & inside - said)


def test_the_worked_example_is_fifty_lines() -> None:
    assert _lines_in_functions('def f():\n    """Says."""\n    # why\n\n    return (\n        1\n    )\n\nX = 1\n') == 3
    assert "at most fifty lines of code" in " ".join(PAGE.split())
    assert _lines_in_functions((ROOT / "services" / "runner" / "agents" / "opencode.py").read_text()) <= 50


def test_the_list_is_every_file_of_the_worked_example() -> None:
    listed = set(re.findall(r"^\| `([^`]+)` \|", PAGE.partition("<!-- files:")[2].partition("<!-- files: end")[0], re.MULTILINE))
    places = ("services/runner/agents", "deploy/images", "tests/unit/services/runner/agents", "tests/vectors")
    named = (path for place in places for path in (ROOT / place).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    own = {str(path.relative_to(ROOT)) for path in named if "opencode" in str(path.relative_to(ROOT))}
    assert listed == own | {"requirements/agents-npm.json"}


def test_every_path_it_names_is_there() -> None:
    paths = [path for path in re.findall(r"`([a-z-]+/[a-z0-9_/.-]+)`", PAGE) if "<" not in path]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_agent_has_an_image_and_every_image_an_agent() -> None:
    assert set(registry.AGENTS) == set(recipe.AGENTS)
