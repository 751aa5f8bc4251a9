"""Where this machine's own package clients go: what sandboxes may read comes from there, where the operator says nothing else.

Asks the clients themselves, so that no registry is named here. One that is missing, or set to what a registry cannot be asked at as nobody
(credentials in its address), leaves its family out. Must never keep the stack from starting.
"""

import os
import re
import shutil
import ssl
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from deploy.images.settings import ImageSettings

Found = Mapping[str, list[str]]
"""Variable, without `EGRESS_PACKAGES_` → addresses."""
ADDRESS = r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*/?"
_SECONDS = 10
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_LINKED = {"PIP": ("/pip/", r'(?:"url":\s*"|href=")'), "NPM": ("/npm/latest", r'"tarball":\s*"'), "CARGO": ("/config.json", r'"dl":\s*"')}
"""What is asked of a registry to see where its files lie, and what stands before their addresses there."""


def find(given: Mapping[str, str]) -> Found:
    """Every registry that could be found and that the operator's settings do not name, and where else their files lie."""
    asking: dict[str, Callable[[], list[str]]] = {"PIP": _pip, "NPM": _npm, "CARGO": _cargo, "GO": _go}
    ca_bundle = given.get("CA_BUNDLE")
    with ThreadPoolExecutor() as pool:
        answers = {name: pool.submit(ask) for name, ask in asking.items() if f"PACKAGES_{name}" not in given}
        found = {name: addresses for name, answer in answers.items() if (addresses := _usable(answer.result())[:1])}
        elsewhere = [pool.submit(_file_origin, name, addresses[0], ca_bundle) for name, addresses in found.items()]
        origins = sorted({origin for each in elsewhere if (origin := each.result()) is not None})
    images = ImageSettings()
    archives = _usable([images.debian_mirror, images.debian_security_mirror])
    return {**found, "DEBIAN": archives, "FILE_ORIGINS": origins}


def _usable(addresses: list[str]) -> list[str]:
    return [address for address in addresses if re.fullmatch(ADDRESS, address)]


def _pip() -> list[str]:
    """Its help shows the index in force, whichever of its files or variables says so, and its own default otherwise."""
    program = shutil.which("pip3") or shutil.which("pip")
    tools = Path(sys.prefix).parent / ".tools/venv/bin/python"
    argv = [program] if program else [str(tools), "-m", "pip"]
    return re.findall(r"Python Package Index \(default\s+(\S+?)\)", _said([*argv, "install", "--help"]))


def _npm() -> list[str]:
    return _said(["npm", "config", "get", "registry"]).split()


def _go() -> list[str]:
    """A list; what is no proxy means that the client itself goes to the modules' hosts, which a sandbox never does."""
    return [word for word in re.split(r"[,|\s]", _said(["go", "env", "GOPROXY"])) if word not in {"direct", "off"}]


def _cargo() -> list[str]:
    """Only a registry that the operator's own configuration puts in the default's place can be found."""
    try:
        document: dict[str, Any] = tomllib.loads((Path.home() / ".cargo/config.toml").read_text())
        sources = cast("dict[str, dict[str, str]]", document["source"])
        registry = sources[sources["crates-io"]["replace-with"]]["registry"]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [registry.removeprefix("sparse+")] if registry.startswith("sparse+") else []


def _said(argv: list[str]) -> str:
    program = shutil.which(argv[0])
    if program is None:
        return ""
    try:
        done = subprocess.run([program, *argv[1:]], check=False, capture_output=True, text=True, timeout=_SECONDS, env=_wide())
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _wide() -> dict[str, str]:
    """The operator's own variables, which some clients are set up by, and lines that are not folded."""
    return {**os.environ, "COLUMNS": "1000"}


def _file_origin(name: str, address: str, ca_bundle: str | None) -> str | None:
    """Where a registry's files lie, if not with itself."""
    if name not in _LINKED:
        return None
    path, before = _LINKED[name]
    try:
        trust = ssl.create_default_context(cafile=ca_bundle)
        with urllib.request.urlopen(address.rstrip("/") + path, timeout=_SECONDS, context=trust) as answer:  # noqa: S310 - checked above
            body = answer.read(1 << 20).decode(errors="replace")
    except (OSError, ValueError):
        return None
    linked = re.search(before + f"({_ORIGIN.pattern})", body)
    return linked[1] if linked is not None and urlsplit(linked[1]).netloc != urlsplit(address).netloc else None
