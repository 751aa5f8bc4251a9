"""The state directory: where everything of a deployment lies, and the few decisions that its first start makes for good.

Paths only, and the configuration file beside them. Directories that hold secrets are 0700 and belong to the one user that needs them.
"""

import json
import os
import secrets
import socket
import tempfile
import uuid
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.embedded.users import OPERATOR, SERVICES, User

VARIABLE = "ASYNC_CODE_STATE_DIR"
HTTP_PORT = 8400

_PORT_RANGE = range(20000, 32000)
_WITH_HEALTH = ("gateway", "scheduler", "git", "runner", "egress", "audit")
_PORTS = ("nats", "postgres", "auth", "model", *(f"{service}_health" for service in _WITH_HEALTH))


def default_root(environment: Mapping[str, str], *, root: bool, checkout: Path) -> Path:
    """Where the state lies: the operator's choice, else /var/lib/async-code for root and ./.async-code for anybody else."""
    chosen = environment.get(VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return Path("/var/lib/async-code") if root else checkout / ".async-code"


@dataclass(frozen=True)
class Layout:
    """Every path of a deployment."""

    root: Path

    @property
    def config(self) -> Path:
        """Deployment id and ports; not secret."""
        return self.root / "config.json"

    @property
    def settings(self) -> Path:
        """The operator's settings, remembered."""
        return self.root / "settings.env"

    @property
    def registries(self) -> Path:
        """Where this machine's own package clients go, as the last start found it."""
        return self.root / "registries.json"

    @property
    def images(self) -> Path:
        """Agent → image, of the code that was started last."""
        return self.root / "images.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor while it lives; its pid and start time stand in it."""
        return self.root / "supervisor.lock"

    @property
    def status(self) -> Path:
        """What the supervisor says about its processes."""
        return self.root / "status.json"

    @property
    def sign_in(self) -> Path:
        """E-mail and password of the generated first user; for the operator's eyes."""
        return self.root / "sign-in.json"

    @property
    def app(self) -> Path:
        """Copies of the code and of its environment, so that a running stack does not depend on the checkout."""
        return self.root / "app"

    @property
    def docker(self) -> Path:
        """Log and pid of an engine that we started."""
        return self.root / "docker"

    @property
    def docker_log(self) -> Path:
        """What an engine that we started says."""
        return self.docker / "dockerd.log"

    @property
    def public(self) -> Path:
        """Public keys, signed checkpoints: readable for every service."""
        return self.root / "public"

    @property
    def nats(self) -> Path:
        """Configuration and streams of the NATS server."""
        return self.root / "nats"

    @property
    def postgres(self) -> Path:
        """The Postgres cluster."""
        return self.root / "postgres"

    @property
    def control(self) -> Path:
        """Where the runner reaches the egress process."""
        return self.root / "run" / "control"

    @property
    def sockets(self) -> Path:
        """One directory per run with the socket that its sandbox gets."""
        return self.root / "run" / "sockets"

    def log(self, process: str) -> Path:
        """The log of one process."""
        return self.root / "log" / f"{process}.log"

    def data(self, service: str) -> Path:
        """A service's own writable directory."""
        return self.root / "data" / service

    def secret(self, owner: str, name: str) -> Path:
        """A file that `owner` alone may read."""
        return self.root / "secrets" / owner / name

    def found_registries(self) -> Mapping[str, list[str]]:
        """What lies in `registries`; nothing where no start has looked yet."""
        return json.loads(self.registries.read_text()) if self.registries.exists() else {}

    def agent_images(self) -> Mapping[str, str]:
        """What lies in `images`; nothing where no start has said it yet."""
        return json.loads(self.images.read_text()) if self.images.exists() else {}

    def make(self, users: Mapping[str, User]) -> None:
        """Create the directories with their owners and modes; correct them where they differ."""
        _directory(self.root, users[OPERATOR], 0o755 if users["gateway"].switch else 0o700)
        for path in (self.app, self.public):
            _directory(path, users[OPERATOR], 0o755)
        for path in (self.root / "secrets", self.root / "data", self.root / "run"):
            _directory(path, users[OPERATOR], 0o711)
        for path in (self.root / "log", self.docker):
            _directory(path, users[OPERATOR], 0o700)
        for owner in (*SERVICES, OPERATOR):
            _directory(self.root / "secrets" / owner, users[owner], 0o700)
            _directory(self.data(owner), users[owner], 0o700)
        _directory(self.nats, users["nats"], 0o700)
        # Postgres makes its own directories of 0700 in here.
        _directory(self.postgres, users["postgres"], 0o700)
        _directory(self.public / "audit", users["audit"], 0o755)
        for path in (self.control, self.sockets):
            _shared_by_egress_and_runner(path, users)


@dataclass(frozen=True)
class Config:
    """What the first start decided: it stays, so that tokens, bookmarks and container labels stay valid."""

    deployment: str
    http_port: int
    ports: Mapping[str, int] = field(default_factory=dict[str, int])

    @classmethod
    def load(cls, path: Path) -> "Config":
        """The stored decisions. Raises FileNotFoundError before the first start."""
        return cls(**json.loads(path.read_text()))

    @classmethod
    def load_or_choose(cls, layout: Layout, http_port: int | None) -> "Config":
        """The stored decisions, completed and stored: to be called while nothing of the deployment runs.

        A port that something else has taken meanwhile is chosen anew; `http_port` is the operator's wish and is never replaced.
        """
        stored = cls.load(layout.config) if layout.config.exists() else cls(str(uuid.uuid4()), HTTP_PORT)
        kept = {name: port for name, port in stored.ports.items() if name in _PORTS and _is_free(port)}
        for name in _PORTS:
            kept.setdefault(name, _free_port(taken=kept.values()))
        config = cls(stored.deployment, http_port or _free_from(stored.http_port), kept)
        if config != stored:
            write_atomically(layout.config, json.dumps(asdict(config), indent=1).encode(), mode=0o644)
        return config

    @property
    def url(self) -> str:
        """Where people find the stack."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def auth_issuer(self) -> str:
        """The `iss` of every token of the embedded auth server."""
        return f"http://127.0.0.1:{self.ports['auth']}/auth/v1"


def write_atomically(path: Path, content: bytes, *, owner: User | None = None, mode: int = 0o600) -> None:
    """Replace `path` as a whole: no reader sees half of it, and it is never readable for more than `mode` says."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            if owner is not None and owner.switch:
                os.fchown(file.fileno(), owner.uid, owner.gid)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).rename(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def secret_once(path: Path, owner: User, make: "bytes | None" = None) -> bytes:
    """The secret in `path`, generated (or `make`) at the first call; 0600 and `owner`'s."""
    if not path.exists():
        write_atomically(path, make if make is not None else secrets.token_urlsafe(32).encode(), owner=owner)
    return path.read_bytes()


def _directory(path: Path, owner: User, mode: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    owner.own(path)
    path.chmod(mode)


def _shared_by_egress_and_runner(path: Path, users: Mapping[str, User]) -> None:
    """Egress makes the sockets, the runner uses and clears them, nobody else enters; setgid gives new entries the runner's group."""
    _directory(path, users["egress"], 0o700)
    if users["egress"].switch:
        os.chown(path, users["egress"].uid, users["runner"].gid)
        path.chmod(0o2770)


def _free_from(first: int) -> int:
    return next(port for port in range(first, first + 1000) if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port(taken: Collection[int]) -> int:
    """A free port below the range that outgoing connections get theirs from, so that none of them sits on it at the next start."""
    while True:
        port = _PORT_RANGE.start + secrets.randbelow(len(_PORT_RANGE))
        if port not in taken and _is_free(port):
            return port
