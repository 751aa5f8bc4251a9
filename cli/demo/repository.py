"""The demo's repository: small, real, and with a test that fails.

It lies in a directory of its own which the operator's settings open to the git service; nothing of the demo is ever run on this machine.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.embedded.users import User

FILES: Mapping[str, str] = {
    "README.md": "# Prices\n\nAdds up a basket. One test fails: a discount is taken twice.\n",
    "basket.py": '''"""Adds up a basket."""


def total(prices: list[int], discount_percent: int = 0) -> int:
    """The sum of the prices in cents, less a discount."""
    whole = sum(price * (100 - discount_percent) // 100 for price in prices)
    return whole * (100 - discount_percent) // 100
''',
    "test_basket.py": """import unittest

from basket import total


class TotalTest(unittest.TestCase):
    def test_without_a_discount(self) -> None:
        self.assertEqual(total([250, 750]), 1000)

    def test_a_discount_is_taken_once(self) -> None:
        self.assertEqual(total([250, 750], discount_percent=10), 900)


if __name__ == "__main__":
    unittest.main()
""",
    ".gitignore": "__pycache__/\n",
}

TEST = "python3 -m unittest -q"
FIX = "sed -i 's/^    whole = .*/    whole = sum(prices)/' basket.py"
"""What both runs end up doing; the agent finds it by itself, the script is told."""

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Demo",
    "GIT_AUTHOR_EMAIL": "demo@localhost",
    "GIT_COMMITTER_NAME": "Demo",
    "GIT_COMMITTER_EMAIL": "demo@localhost",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "LC_ALL": "C.UTF-8",
}


def ensure(path: Path, owner: User) -> str:
    """Make the bare repository where it is missing, owned by the git service; gives its URL."""
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="async-code-demo-") as scratch:
            work, bare = Path(scratch) / "work", Path(scratch) / "bare.git"
            work.mkdir()
            for name, text in FILES.items():
                (work / name).write_text(text)
            _git(work, "init", "--quiet", "--initial-branch=main", ".")
            _git(work, "add", "--all")
            _git(work, "commit", "--quiet", "--message", "Add up a basket")
            _git(work, "clone", "--quiet", "--bare", ".", str(bare))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.chmod(0o755)
            shutil.move(bare, path)
        _give(path, owner)
    return f"file://{path}"


def branches(path: Path) -> list[str]:
    """The branches of the repository, as anybody with git sees them."""
    safe = ("-c", f"safe.directory={path}")
    return _git(path, *safe, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()


def _give(path: Path, owner: User) -> None:
    """A repository is served only to its owner (CVE-2022-24765)."""
    for entry in (path, *path.rglob("*")):
        owner.own(entry)


def _git(directory: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "HOME": str(directory), **_IDENTITY}
    return subprocess.run(["/usr/bin/git", *arguments], cwd=directory, env=environment, check=True, capture_output=True, text=True).stdout
