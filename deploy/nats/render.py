"""Before the server starts: a secret seed per user, and the server's configuration file.

Run it again whenever settings change: seeds that exist are kept, the configuration is written anew. The configuration holds public
keys only. It never prints a seed, and never widens the mode of a seed file.
"""

import argparse
import json
import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import nkeys

from deploy.nats import topology
from deploy.nats.borders import borders
from deploy.nats.topology import Account, UserSpec

DEFAULT_STORE_BYTES = 16 * 1024**3


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """Where things go and how the server listens."""

    state: Path
    """A directory of ours: `nkeys/<user>.nk`, `nats.conf` and, unless `store` says otherwise, `jetstream/`."""
    port: int
    monitor_port: int | None = None
    """On loopback: it answers without authentication."""
    host: str = "127.0.0.1"
    store: Path | None = None
    store_bytes: int = DEFAULT_STORE_BYTES
    sync_interval: str = "always"
    """`always`, or how long acknowledged messages may be lost for when power fails on a single node (verified: up to 2 minutes)."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    @property
    def config_file(self) -> Path:
        """What `nats-server --config` takes."""
        return self.state / "nats.conf"

    def seed_file(self, user: str) -> Path:
        """The secret seed of `user`."""
        return self.state / "nkeys" / f"{user}.nk"


def render(settings: RenderSettings) -> None:
    """Write what is missing of the seeds, and the configuration."""
    (settings.state / "nkeys").mkdir(mode=0o700, parents=True, exist_ok=True)
    public_keys = {user.name: _public_key(settings.seed_file(user.name)) for user in topology.USERS}
    temporary = settings.config_file.with_suffix(".new")
    temporary.write_text(configuration(replace(settings, store_bytes=max(settings.store_bytes, _reserved(settings))), public_keys))
    temporary.replace(settings.config_file)


def _reserved(settings: RenderSettings) -> int:
    """What the streams may have reserved so far: a server with a smaller store does not start (verified). `apply` shrinks streams."""
    if not settings.config_file.exists():
        return 0
    return int(json.loads(settings.config_file.read_text())["jetstream"]["max_file_store"])


def configuration(settings: RenderSettings, public_keys: dict[str, str]) -> str:
    """The server's configuration. Values are JSON, which is a subset of what the server reads."""
    store = settings.store or settings.state / "jetstream"
    parts: dict[str, object] = {
        "server_name": "async-code",
        "listen": f"{settings.host}:{settings.port}",
        "jetstream": {"store_dir": str(store), "max_file_store": settings.store_bytes, "sync_interval": settings.sync_interval},
        "accounts": {name: _account(name, public_keys) | border for name, border in borders().items()},
        "system_account": Account.SYS,
    }
    if settings.monitor_port is not None:
        parts["http"] = f"127.0.0.1:{settings.monitor_port}"
    if settings.tls_certificate and settings.tls_key:
        parts["tls"] = {"cert_file": str(settings.tls_certificate), "key_file": str(settings.tls_key)}
    return json.dumps(parts, indent=2) + "\n"


def _account(name: str, public_keys: dict[str, str]) -> dict[str, object]:
    users = [_user(user, public_keys[user.name]) for user in topology.USERS if user.home == name]
    account: dict[str, object] = {"users": users}
    return account | ({"jetstream": "enabled"} if name in {Account.APP, Account.AUDIT} else {})


def _user(user: UserSpec, public_key: str) -> dict[str, object]:
    permissions: dict[str, object] = {"publish": {"allow": list(user.publish)}, "subscribe": {"allow": list(user.subscribes)}}
    if user.answers:
        permissions["allow_responses"] = {"max": 1, "expires": "1m"}
    return {"nkey": public_key, "permissions": permissions}


def _public_key(seed_file: Path) -> str:
    """The public key of the seed in this file, which is made when it is not there."""
    if not seed_file.exists():
        seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        descriptor = os.open(seed_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(seed)  # pyright: ignore[reportUnknownArgumentType]
    pair = nkeys.from_seed(bytearray(seed_file.read_bytes().strip()))  # pyright: ignore[reportUnknownMemberType]
    return cast("bytes", pair.public_key).decode()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.nats.render", description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--monitor-port", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--store-bytes", type=int, default=DEFAULT_STORE_BYTES)
    parser.add_argument("--sync-interval", default="always")
    parser.add_argument("--tls-certificate", type=Path)
    parser.add_argument("--tls-key", type=Path)
    settings = RenderSettings(**vars(parser.parse_args()))
    render(settings)
    print(f"rendered {settings.config_file}")


if __name__ == "__main__":
    main()
