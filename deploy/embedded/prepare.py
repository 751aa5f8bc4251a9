"""Everything that must stand before the first process starts: directories, secrets, the servers' configuration, the database's files.

Can be run again at any start: what exists is kept. Each secret is generated here, lies in a file of mode 0600 that belongs to the one
user that needs it, and is never printed.
"""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from deploy.embedded import capacity
from deploy.embedded.auth import keys as auth_keys
from deploy.embedded.install import App
from deploy.embedded.processes import Deployment
from deploy.embedded.state import Config, Layout, secret_once, write_atomically
from deploy.embedded.users import OPERATOR, User
from deploy.nats.render import RenderSettings, render
from deploy.postgres import binaries
from deploy.postgres.apply import password
from shared.secrets.keyring import Keyring

FIRST_USER = "admin@async-code.local"
NATS_USERS = ("gateway", "scheduler", "git", "runner", "audit")
DATABASE_USERS = ("gateway", "scheduler", "audit", "auth")


def prepare(layout: Layout, config: Config, settings: Mapping[str, str], users: Mapping[str, User], app: App) -> Deployment:
    """Make what is missing; gives the deployment that the table of processes follows from."""
    layout.make(users)
    deployment = Deployment(layout, config, settings, users, app, binaries.find(), layout.agent_images(), layout.found_registries())
    _nats(deployment)
    _databases(deployment)
    _auth(layout, users)
    _audit(layout, users)
    _keyrings(layout, users)
    _authorities(deployment)
    return deployment


def _nats(deployment: Deployment) -> None:
    """Seeds stay with the operator; each service gets a copy of its own, and the server a configuration with public keys only."""
    settings = nats_settings(deployment)
    settings.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    render(settings)
    layout, users = deployment.layout, deployment.users
    write_atomically(layout.nats / "nats.conf", settings.config_file.read_bytes(), owner=users["nats"])
    for service in NATS_USERS:
        write_atomically(layout.secret(service, "nats.nk"), settings.seed_file(service).read_bytes(), owner=users[service])


def nats_settings(deployment: Deployment) -> RenderSettings:
    """How the server is set up here."""
    return RenderSettings(
        state=deployment.provision_dir,
        port=deployment.config.ports["nats"],
        store=deployment.layout.nats / "jetstream",
        store_bytes=capacity.nats_bytes(deployment.settings),
    )


def _databases(deployment: Deployment) -> None:
    layout, users = deployment.layout, deployment.users
    admin = secret_once(deployment.admin_password_file, users[OPERATOR])
    deployment.cluster.init(admin.decode())
    for service in DATABASE_USERS:
        text = password(deployment.passwords_dir, f"async_code_{service}")
        write_atomically(layout.secret(service, "database-password"), text.encode(), owner=users[service])


def _auth(layout: Layout, users: Mapping[str, User]) -> None:
    signing = layout.secret("auth", "signing-key.json")
    if not signing.exists():
        write_atomically(signing, auth_keys.generate(), owner=users["auth"])
    secret_once(layout.secret("auth", "refresh-key"), users["auth"])
    if not layout.sign_in.exists():
        first = {"email": FIRST_USER, "password": secrets.token_urlsafe(18)}
        write_atomically(layout.sign_in, (json.dumps(first) + "\n").encode(), owner=users[OPERATOR])


def _audit(layout: Layout, users: Mapping[str, User]) -> None:
    path = layout.secret("audit", "signing-key")
    if not path.exists():
        private = Ed25519PrivateKey.generate()
        write_atomically(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), owner=users["audit"])


def _keyrings(layout: Layout, users: Mapping[str, User]) -> None:
    """One keyring for each service that opens secrets; the gateway gets the public halves only."""
    for service in ("git", "egress"):
        private = layout.secret(service, "keyring.json")
        if not private.exists():
            Keyring.generate().save(private)
            users[service].own(private)
        Keyring.load(private).primary.export(layout.public / f"{service}-key.json")


def _authorities(deployment: Deployment) -> None:
    """A copy of the operator's certificates that every service can read."""
    if deployment.ca_bundle is not None:
        write_atomically(deployment.ca_bundle, Path(deployment.settings["CA_BUNDLE"]).read_bytes(), mode=0o644)
