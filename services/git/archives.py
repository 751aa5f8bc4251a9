"""The workspace archive: one directory `repo.git/` with the few files a shallow bare repository needs, and not one more.

Writing is deterministic. Reading takes the pack and the boundary alone, by name, and never creates a path the archive names.
"""

import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from services.git.errors import WorkMissing

TOP = "repo.git"
_PACK = re.compile(rf"{re.escape(TOP)}/objects/pack/pack-[0-9a-f]{{40,64}}\.pack")
_SHALLOW = f"{TOP}/shallow"
_MAX_SHALLOW_BYTES = 1024 * 1024
_MAX_MEMBERS = 64
_CHUNK = 1024 * 1024


def write(archive: Path, directories: tuple[str, ...], texts: Mapping[str, bytes], files: Mapping[str, Path]) -> None:
    """An archive of these names below `repo.git/`: sorted, owned by nobody in particular, dated at the epoch."""
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in sorted((TOP, *(f"{TOP}/{directory}" for directory in directories))):
            tar.addfile(_entry(name, tarfile.DIRTYPE, 0o755, 0))
        for name in sorted((*texts, *files)):
            if name in texts:
                tar.addfile(_entry(f"{TOP}/{name}", tarfile.REGTYPE, 0o644, len(texts[name])), io.BytesIO(texts[name]))
            else:
                with files[name].open("rb") as file:
                    tar.addfile(_entry(f"{TOP}/{name}", tarfile.REGTYPE, 0o644, files[name].stat().st_size), file)


def read_pack(archive: Path, pack: Path, max_bytes: int) -> tuple[str, ...]:
    """Copy the archive's one pack to `pack`; gives the commits of its shallow boundary. Raises WorkMissing for any other archive."""
    shallow: tuple[str, ...] = ()
    found = False
    try:
        with tarfile.open(archive, "r:") as tar:
            for number, member in enumerate(tar):
                if number >= _MAX_MEMBERS:
                    raise WorkMissing("the workspace archive has too many entries")
                source = tar.extractfile(member) if member.isreg() else None
                if source is not None and member.name == _SHALLOW and member.size <= _MAX_SHALLOW_BYTES:
                    shallow = tuple(re.findall(r"[0-9a-f]{40,64}", source.read().decode("ascii", "replace")))
                elif source is not None and _PACK.fullmatch(member.name) and not found:
                    found = _copy(source, member.size, pack, max_bytes)
    except tarfile.TarError as error:
        raise WorkMissing("the workspace blob is no archive") from error
    if not found:
        raise WorkMissing("the workspace archive holds no pack")
    return shallow


def _copy(source: IO[bytes], size: int, target: Path, max_bytes: int) -> bool:
    if size > max_bytes:
        raise WorkMissing("the workspace archive's pack is over the limit")
    with target.open("wb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
    return True


def _entry(name: str, kind: bytes, mode: int, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.size, entry.mtime = kind, mode, size, 0
    return entry
