"""Copies the code and its environment into the state directory, under names that follow from their content.

So the services' users can read them even where the checkout lies below a directory of mode 0700, and a stack that runs does not
change when the checkout does. Files of the environment are hard-linked where the file system allows: uv replaces files, it never
writes into one.
"""

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

CODE = ("services", "shared", "cli", "deploy", "supabase")
_SKIPPED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True)
class App:
    """An installed copy: where its modules lie and the interpreter that has the locked environment."""

    code: Path
    venv: Path

    @property
    def python(self) -> str:
        """The interpreter to start a service with."""
        return str(self.venv / "bin" / "python")

    def program(self, name: str) -> str:
        """A program that a wheel of the environment carries."""
        return str(self.venv / "bin" / name)


def install(checkout: Path, venv: Path, target: Path) -> App:
    """The copy of this very code and environment; made when it is not there yet."""
    app = App(target / f"code-{_code_version(checkout)}", target / f"venv-{_venv_version(venv)}")
    if not app.venv.exists():
        _appear(app.venv, lambda path: shutil.copytree(venv, path, symlinks=True, copy_function=_link_readable))
    if not app.code.exists():
        _appear(app.code, lambda path: _copy_code(checkout, path, app.python))
    return app


def remove_others(app: App) -> None:
    """Delete the copies that are not `app`: only while nothing of the deployment runs."""
    for path in app.code.parent.iterdir():
        if path not in (app.code, app.venv):
            shutil.rmtree(path, ignore_errors=True)


def _code_version(checkout: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(_code_files(checkout)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(checkout)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _code_files(checkout: Path) -> Iterator[Path]:
    for top in CODE:
        for directory, names, files in os.walk(checkout / top):
            names[:] = [name for name in names if name != "__pycache__" and not name.startswith(".")]
            yield from (Path(directory) / file for file in files if not file.endswith(".pyc") and not file.startswith("."))


def _venv_version(venv: Path) -> str:
    """Names and versions of what is installed, and the interpreter: the lock's hashes make the content follow from them."""
    packages = sorted(path.name for path in venv.glob("lib/python3*/site-packages/*.dist-info"))
    interpreter = (venv / "bin" / "python").resolve()
    return hashlib.sha256("\n".join([str(interpreter), *packages]).encode()).hexdigest()[:16]


def _copy_code(checkout: Path, target: Path, python: str) -> None:
    target.mkdir(mode=0o755)
    for top in CODE:
        if (checkout / top).is_dir():
            shutil.copytree(checkout / top, target / top, ignore=_SKIPPED)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    # The services cannot write here, so nobody else would ever store the compiled form. A file that does not compile is the matter of
    # whoever imports it.
    subprocess.run([python, "-m", "compileall", "-q", str(target)], check=False, capture_output=True, timeout=300)


def _link_readable(source: str, target: str) -> str:
    """Hard-link (or copy) a file so that everybody may read it, run it where its owner may, and nobody else write it (uv's lock file)."""
    mode = os.lstat(source).st_mode
    readable = stat.S_IMODE(mode) & ~0o022 | 0o444 | (0o111 if mode & stat.S_IXUSR else 0)
    linked = readable == stat.S_IMODE(mode) and _link(source, target)
    if not linked:
        shutil.copyfile(source, target)
        Path(target).chmod(readable)
    return target


def _link(source: str, target: str) -> bool:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system, too many links, or a foreign owner: a copy does as well
        return False
    return True


def _appear(target: Path, fill: Callable[[Path], object]) -> None:
    """Fill a directory beside `target` and rename it: a half-made copy is never taken for a whole one."""
    making = target.with_name(f"making-{target.name}-{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    fill(making)
    for directory, _names, _files in os.walk(making):
        Path(directory).chmod(0o755)
    making.rename(target)
