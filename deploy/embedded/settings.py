"""What an operator can decide, as `ASYNC_CODE_…` variables at `up` or lines in `settings.env`; remembered once given.

A closed table: a misspelt line is refused, never ignored. No secret belongs here.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.registries import ADDRESS
from deploy.embedded.state import write_atomically
from deploy.nats import rooms

PREFIX = "ASYNC_CODE_"


class BadSetting(ValueError):
    """A setting has a name or a value that is not allowed; the text says which and why."""


@dataclass(frozen=True)
class Setting:
    """One decision: its name without the prefix, what it accepts, and what it means."""

    name: str
    pattern: str
    meaning: str
    bounds: tuple[int, int] | None = None
    """The least and the greatest number, where it is one: what the process itself takes, so that none is refused only once it starts."""
    reads: Callable[[str], object] | None = None
    """What reads it: raises ValueError, which says what is wrong, for what the pattern cannot tell."""

    def accepts(self, value: str) -> bool:
        """Whether this value can be."""
        if re.fullmatch(self.pattern, value) is None:
            return False
        return self.bounds is None or self.bounds[0] <= int(value) <= self.bounds[1]

    def refuse(self, value: str) -> None:
        """Raises BadSetting for a value that cannot be."""
        if not self.accepts(value):
            raise BadSetting(f"{PREFIX}{self.name} cannot be {value!r}: {self.says}")
        if self.reads is None:
            return
        try:
            self.reads(value)
        except ValueError as error:
            raise BadSetting(f"{PREFIX}{self.name} cannot be {value!r}: {error}") from error

    @property
    def says(self) -> str:
        """What it means, and within which bounds."""
        return self.meaning if self.bounds is None else f"{self.meaning}; from {self.bounds[0]} to {self.bounds[1]}"


_NUMBER = r"[0-9]{1,6}"
_LARGE_NUMBER = r"[0-9]{1,8}"
_IMAGES = r"[A-Za-z0-9._:/@*?-]+"
_SWITCH = r"true|false"
_NETWORKS = r"[0-9a-fA-F.:/, ]*"
_URL = r"https?://[^\s@]+"
_PLACES = rf"none|{ADDRESS}(, *{ADDRESS})*"
_PACKAGES = {
    "PIP": "the simple index that sandboxes may read, or none; the one of this machine's pip by default",
    "NPM": "the npm registry, or none; the one of this machine's npm by default",
    "CARGO": "the sparse index of crates, or none; what this machine's cargo is set to by default",
    "GO": "the Go module proxy, or none; the one of this machine's go by default",
    "DEBIAN": "Debian archives, comma-separated, or none; those of the images by default",
    "FILE_ORIGINS": "where registries' files lie beside themselves, comma-separated, or none; where these registries say by default",
}

TABLE = (
    Setting("HTTP_HOST", r"[0-9a-fA-F.:]+", "the address the API listens on; 127.0.0.1 by default"),
    Setting("HTTP_PORT", _NUMBER, "the API's port; 8400 or the next free by default", (1, 65_535)),
    Setting("SIGNUP", _SWITCH, "whether anybody may create an account; false by default"),
    Setting("GIT_ALLOW_NETWORKS", _NETWORKS, "private networks that repositories may lie in, comma-separated CIDRs; none by default"),
    Setting("GIT_ALLOW_PROTOCOLS", r"(https|http|file)(,(https|http|file))*", "protocols of repository URLs; https by default"),
    Setting("GIT_ALLOW_DIRECTORIES", r"/.*", "where file:// repositories may lie, comma-separated; nowhere by default"),
    Setting("GIT_MAX_REPOSITORY_MIB", _NUMBER, "the most a repository may send in one fetch; 4096 by default", (1, 262_144)),
    Setting("GIT_MAX_WORKSPACE_MIB", _NUMBER, "the largest snapshot a sandbox is given; 512 by default", (1, 16_384)),
    Setting("SCRIPTED_MODEL", _SWITCH, "whether a local scripted model answers in the vendors' place, for the demo; false by default"),
    Setting("ANTHROPIC_BASE_URL", _URL, "where requests to Anthropic's models go; its API by default"),
    Setting("OPENAI_BASE_URL", _URL, "where requests to OpenAI's models go; its API by default"),
    Setting("EGRESS_ALLOW_NETWORKS", _NETWORKS, "private networks that the egress process may reach; none by default"),
    *(Setting(f"PACKAGES_{name}", _PLACES, meaning) for name, meaning in _PACKAGES.items()),
    Setting("PACKAGES_CACHE_MIB", _LARGE_NUMBER, "how much of the registries' files is kept, in MiB; 2048 by default", (0, 67_108_864)),
    Setting("MODEL_PATIENCE_SECONDS", _NUMBER, "how long in a row a model API that fails is asked again; 60 by default"),
    Setting("CA_BUNDLE", r"/.+", "a PEM file of further authorities, behind TLS inspection; copied when the stack starts"),
    Setting("LEASE_TTL_SECONDS", _NUMBER, "how long a silent runner keeps a run; the runner's own default", (2, 600)),
    Setting("RUNNER_SLOTS", _NUMBER, "how many sandboxes run at once; the runner's own default", (1, 256)),
    Setting("DOCKER_HOST", r"(unix:///|tcp://)\S+", "the Docker engine that sandboxes run on; unix:///var/run/docker.sock by default"),
    Setting("RUNNER_WARM", _NUMBER, "how many sandboxes of each kind in use are made beforehand; 2 by default, 0 for none", (0, 64)),
    Setting("RUNNER_RUNTIME", r"[A-Za-z0-9._-]{1,64}", "what runs sandboxes: runsc for gVisor; runc by default"),
    Setting(
        "ALLOW_MISSING", r"[a-z_]+(,[a-z_]+)*", "walls of sandboxes that this machine's engine lacks and may lack, comma-separated; none"
    ),
    Setting("APPARMOR_PROFILE", r"[A-Za-z0-9._-]{1,64}", "a loaded AppArmor profile that sandboxes must have; the engine's own by default"),
    Setting("KEEP_IMAGES", _NUMBER, "how many images of each agent stay beside those in use; all by default", (1, 1_000)),
    Setting("ENVIRONMENT_IMAGES", rf"{_IMAGES}(,{_IMAGES})*", "images (`*`, `?`) that projects may name, comma-separated; none by default"),
    Setting("ENVIRONMENTS_MIB", _LARGE_NUMBER, "how much of what set-up scripts made is kept, in MiB; 4096 by default", (0, 67_108_864)),
    Setting("MAX_ENVIRONMENT_MIB", _NUMBER, "the most that a set-up script may make, in MiB; 1024 by default", (1, 16_384)),
    Setting("MAX_LIMITS", r"\{.*\}", 'the most a task may ask for, as JSON, such as {"memory_mib": 8192}; the gateway\'s own defaults'),
    Setting("STORE_MIB", _LARGE_NUMBER, "how much all streams may hold together, in MiB; 16384 by default", (100, 67_108_864)),
    Setting("STREAMS", r"\{.*\}", 'other figures for single streams, as JSON: {"EVT": {"mib": 4096, "days": 60}}', reads=rooms.parse),
    Setting("GIT_CACHE_MIB", _LARGE_NUMBER, "how much the mirrors of repositories may take, in MiB; 20480 by default", (1, 67_108_864)),
    Setting("LOG_MIB", _NUMBER, "the size at which a process's log is set aside, in MiB; four are kept; 16 by default", (1, 10_000)),
    Setting("KEEP_TASKS_DAYS", _NUMBER, "how long a task is kept after its end, with its prompt; for ever by default", (1, 100_000)),
    Setting("MIN_FREE_MIB", _LARGE_NUMBER, "`up` starts nothing with less than this free on the disk, in MiB; 1024 by default"),
)
_BY_NAME = {setting.name: setting for setting in TABLE}


def resolve(stored: Mapping[str, str], environment: Mapping[str, str]) -> Mapping[str, str]:
    """What is stored, overridden by the known variables of the environment. Raises BadSetting."""
    given = {name: environment[PREFIX + name] for name in _BY_NAME if PREFIX + name in environment}
    merged = {**stored, **given}
    for name, value in merged.items():
        if name not in _BY_NAME:
            raise BadSetting(f"{PREFIX}{name} is not a setting; known are {', '.join(PREFIX + known for known in _BY_NAME)}")
        _BY_NAME[name].refuse(value)
    return merged


def load(path: Path) -> Mapping[str, str]:
    """The stored lines, without the prefix. Raises BadSetting."""
    if not path.exists():
        return {}
    lines = [line.strip() for line in path.read_text().splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    for name, equals, _value in pairs:
        if not equals or not name.startswith(PREFIX):
            raise BadSetting(f"{path}: {name!r} is not a line of the form {PREFIX}NAME=value")
    return {name.removeprefix(PREFIX).strip(): value.strip() for name, _equals, value in pairs}


def remember(path: Path, environment: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """The settings in force now; those that the environment gave are stored for the next start."""
    stored = load(path)
    merged = resolve(stored, os.environ if environment is None else environment)
    if merged != stored:
        text = "".join(f"{PREFIX}{name}={value}\n" for name, value in merged.items())
        write_atomically(path, text.encode())
    return merged
