"""The table of processes: what runs, as whom, with which variables, after what. Pure; it names files of secrets and never reads one."""

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded import capacity
from deploy.embedded.identity import MARKER
from deploy.embedded.install import App
from deploy.embedded.process import CommandReady, Finished, HttpReady, Process, Ready, TcpReady
from deploy.embedded.registries import Found
from deploy.embedded.state import Config, Layout
from deploy.embedded.users import DOCKER_HOST, OPERATOR, User
from deploy.postgres.binaries import Binaries
from deploy.postgres.cluster import SUPERUSER, Account, Cluster

DATABASE = "async_code"
SERVICES = ("audit", "scheduler", "git", "runner", "gateway")
_WITH_DATABASE = ("gateway", "scheduler", "audit")
FILE_ORIGINS = "FILE_ORIGINS"
"""No family of its own: where the files of the others lie."""
PACKAGE_SOURCES = ("PIP", "NPM", "CARGO", "GO", "DEBIAN", FILE_ORIGINS)
LISTS = ("DEBIAN", FILE_ORIGINS)
"""Of several addresses; each of the others is one."""
_MODEL_APIS = {"ANTHROPIC_BASE_URL": "https://api.anthropic.com", "OPENAI_BASE_URL": "https://api.openai.com"}


@dataclass(frozen=True)
class Deployment:
    """Everything that the table follows from."""

    layout: Layout
    config: Config
    settings: Mapping[str, str]
    users: Mapping[str, User]
    app: App
    postgres: Binaries
    images: Mapping[str, str]
    """Agent → image. By content, so that another version's build on this host changes nothing under a running stack."""
    registries: Found = field(default_factory=dict[str, list[str]])
    """Where this machine's own package clients go."""

    @property
    def nats_url(self) -> str:
        """The server's address for the services."""
        return f"nats://127.0.0.1:{self.config.ports['nats']}"

    @property
    def provision_dir(self) -> Path:
        """What the NATS provisioner keeps: every seed, and the server's configuration."""
        return self.layout.secret(OPERATOR, "nats")

    @property
    def passwords_dir(self) -> Path:
        """The database roles' passwords, as the provisioner keeps them."""
        return self.layout.secret(OPERATOR, "postgres")

    @property
    def admin_password_file(self) -> Path:
        """The password of Postgres's superuser."""
        return self.layout.secret(OPERATOR, "postgres-admin")

    @property
    def cluster(self) -> Cluster:
        """The Postgres of this deployment."""
        user = self.users["postgres"]
        account = Account(user.uid, user.gid) if user.switch else None
        return Cluster(
            self.postgres, self.layout.postgres / "data", self.layout.postgres / "sockets", self.config.ports["postgres"], account
        )

    @property
    def ca_bundle(self) -> Path | None:
        """Our readable copy of the operator's authorities."""
        return self.layout.public / "ca-bundle.pem" if "CA_BUNDLE" in self.settings else None


def table(deployment: Deployment) -> tuple[Process, ...]:
    """Every process of the stack, in the order in which they start; they stop in the reverse order."""
    return (
        _nats(deployment),
        _postgres(deployment),
        _provision(deployment),
        _auth(deployment),
        *_model(deployment),
        _egress(deployment),
        *_services(deployment),
    )


def _nats(deployment: Deployment) -> Process:
    return Process(
        name="nats",
        argv=(deployment.app.program("nats-server"), "--config", str(deployment.layout.nats / "nats.conf")),
        env=_environment(deployment, "nats"),
        user=deployment.users["nats"],
        cwd=deployment.layout.nats,
        ready=TcpReady(deployment.config.ports["nats"]),
    )


def _postgres(deployment: Deployment) -> Process:
    cluster = deployment.cluster
    asks = ("-q", "-h", str(cluster.sockets), "-p", str(cluster.port), "-U", SUPERUSER, "-t", "3")
    return Process(
        name="postgres",
        argv=tuple(cluster.argv()),
        env={**_environment(deployment, "postgres"), "TZ": "UTC"},
        user=deployment.users["postgres"],
        cwd=deployment.layout.postgres,
        ready=CommandReady((cluster.binaries.program("pg_isready"), *asks)),
        stop_signal=signal.SIGINT,  # fast shutdown: ends the sessions, keeps every committed transaction
        grace_seconds=30,
    )


def _provision(deployment: Deployment) -> Process:
    argv = (deployment.app.python, "-m", "deploy.embedded.provision", str(deployment.layout.root))
    return _python(deployment, "provision", OPERATOR, argv, {}, ready=Finished(), after=("nats", "postgres"))


def _auth(deployment: Deployment) -> Process:
    variables = {
        "AUTH_PORT": str(deployment.config.ports["auth"]),
        "AUTH_ISSUER": deployment.config.auth_issuer,
        "AUTH_SIGNING_KEY_FILE": str(deployment.layout.secret("auth", "signing-key.json")),
        "AUTH_REFRESH_KEY_FILE": str(deployment.layout.secret("auth", "refresh-key")),
        "AUTH_SIGNUP_ENABLED": deployment.settings.get("SIGNUP", "false"),
        **_database(deployment, "auth"),
    }
    ready = HttpReady(deployment.config.ports["auth"], "/auth/v1/health")
    argv = (deployment.app.python, "-m", "deploy.embedded.auth")
    return _python(deployment, "auth", "auth", argv, variables, ready=ready, after=("provision",))


def _egress(deployment: Deployment) -> Process:
    variables = {
        **_health(deployment, "egress"),
        "EGRESS_KEYRING_FILE": str(deployment.layout.secret("egress", "keyring.json")),
        "EGRESS_STATE_DIR": str(deployment.layout.data("egress")),
        "EGRESS_CONTROL_SOCKET": str(deployment.layout.control / "egress.sock"),
        "EGRESS_SOCKETS_DIR": str(deployment.layout.sockets),
        **_upstream(deployment),
        **({"EGRESS_CA_BUNDLE": str(deployment.ca_bundle)} if deployment.ca_bundle else {}),
        **_packages(deployment),
        **({"EGRESS_PATIENCE_SECONDS": patience} if (patience := deployment.settings.get("MODEL_PATIENCE_SECONDS")) else {}),
    }
    ready = HttpReady(deployment.config.ports["egress_health"])
    argv = (deployment.app.python, "-m", "services.runner.egress")
    # The runner is in the group of the socket directories and must be able to use what is made there.
    return _python(deployment, "egress", "egress", argv, variables, ready=ready, after=("provision",), umask=0o007)


def _packages(deployment: Deployment) -> Mapping[str, str]:
    variables = {
        f"EGRESS_PACKAGES_{name}": json.dumps(addresses) if name in LISTS else addresses[0]
        for name, addresses in _package_sources(deployment).items()
    }
    kept = deployment.settings.get("PACKAGES_CACHE_MIB")
    return variables | ({"EGRESS_PACKAGES_CACHE_MIB": kept} if kept else {})


def _package_sources(deployment: Deployment) -> Found:
    """Where packages come from: what the operator says, else where this machine's own clients go. `none` leaves a family out."""
    sources: dict[str, list[str]] = {}
    for name in PACKAGE_SOURCES:
        given = deployment.settings.get(f"PACKAGES_{name}")
        addresses = deployment.registries.get(name, []) if given is None else [] if given == "none" else _split(given)
        if addresses:
            sources[name] = addresses
    return sources


def _served(deployment: Deployment) -> list[str]:
    """The families that a project can allow: those whose registry the egress process is told of."""
    return [name.lower() for name in _package_sources(deployment) if name != FILE_ORIGINS]


def _scripted(deployment: Deployment) -> bool:
    return deployment.settings.get("SCRIPTED_MODEL") == "true"


def _model(deployment: Deployment) -> tuple[Process, ...]:
    """The demo's model, where the operator wants it; it holds nothing."""
    if not _scripted(deployment):
        return ()
    port = deployment.config.ports["model"]
    argv = (deployment.app.python, "-m", "cli.demo.model", "--port", str(port))
    return (_python(deployment, "model", "model", argv, {}, ready=TcpReady(port), after=()),)


def _upstream(deployment: Deployment) -> Mapping[str, str]:
    """Where model requests go. A scripted model speaks for every vendor; it lies on loopback, which is opened for it by its one address."""
    if _scripted(deployment):
        url = f"http://127.0.0.1:{deployment.config.ports['model']}"
        networks = [*_split(deployment.settings.get("EGRESS_ALLOW_NETWORKS", "")), "127.0.0.1/32"]
        return {**{f"EGRESS_{name}": url for name in _MODEL_APIS}, "EGRESS_ALLOW_NETWORKS": json.dumps(networks)}
    return {
        **{f"EGRESS_{name}": deployment.settings.get(name, default) for name, default in _MODEL_APIS.items()},
        **_list(deployment, "EGRESS_ALLOW_NETWORKS"),
    }


def _services(deployment: Deployment) -> tuple[Process, ...]:
    own = {"gateway": _gateway, "scheduler": _scheduler, "git": _git, "runner": _runner, "audit": _audit}
    after = {"gateway": ("provision", "auth"), "runner": ("provision", "egress")}
    return tuple(_service(deployment, name, own[name](deployment), after.get(name, ("provision",))) for name in SERVICES)


def _service(deployment: Deployment, name: str, own: Mapping[str, str], after: tuple[str, ...]) -> Process:
    variables = {
        **_health(deployment, name),
        "NATS_URL": deployment.nats_url,
        "NATS_USER": name,
        "NATS_NKEY_FILE": str(deployment.layout.secret(name, "nats.nk")),
        "STATE_DIR": str(deployment.layout.data(name)),
        **(_database(deployment, name) if name in _WITH_DATABASE else {}),
        **own,
    }
    argv = (deployment.app.python, "-m", f"services.{name}")
    return _python(deployment, name, name, argv, variables, ready=HttpReady(deployment.config.ports[f"{name}_health"]), after=after)


def _scheduler(deployment: Deployment) -> Mapping[str, str]:
    return {
        "SCHEDULER_INBOX_DAYS": str(capacity.inbox_days(deployment.settings)),
        "SCHEDULER_KEEP_TASKS_DAYS": str(capacity.ended_tasks_days(deployment.settings)),
    }


def _gateway(deployment: Deployment) -> Mapping[str, str]:
    protocols, images = deployment.settings.get("GIT_ALLOW_PROTOCOLS"), deployment.settings.get("ENVIRONMENT_IMAGES")
    return {
        "GATEWAY_HOST": deployment.settings.get("HTTP_HOST", "127.0.0.1"),
        "GATEWAY_PORT": str(deployment.config.http_port),
        "GATEWAY_AUTH_ISSUER": deployment.config.auth_issuer,
        "GATEWAY_AUTH_JWKS_URL": f"{deployment.config.auth_issuer}/.well-known/jwks.json",
        "GATEWAY_GIT_PUBLIC_KEY_FILE": str(deployment.layout.public / "git-key.json"),
        "GATEWAY_EGRESS_PUBLIC_KEY_FILE": str(deployment.layout.public / "egress-key.json"),
        "GATEWAY_PACKAGES": json.dumps(_served(deployment)),
        **({"GATEWAY_ENVIRONMENT_IMAGES": json.dumps(_split(images))} if images else {}),
        **({"GATEWAY_ALLOW_REPOSITORY_SCHEMES": json.dumps(_split(protocols))} if protocols else {}),
        **({"GATEWAY_MAX_LIMITS": deployment.settings["MAX_LIMITS"]} if "MAX_LIMITS" in deployment.settings else {}),
        **({"GATEWAY_KEEP_TASKS_DAYS": deployment.settings["KEEP_TASKS_DAYS"]} if "KEEP_TASKS_DAYS" in deployment.settings else {}),
    }


def _git(deployment: Deployment) -> Mapping[str, str]:
    return {
        "GIT_KEYRING_FILE": str(deployment.layout.secret("git", "keyring.json")),
        "GIT_CACHE_DIR": str(deployment.layout.data("git") / "cache"),
        "GIT_MAX_CACHE_BYTES": str(capacity.cache_bytes(deployment.settings)),
        **_list(deployment, "GIT_ALLOW_NETWORKS"),
        **_list(deployment, "GIT_ALLOW_PROTOCOLS"),
        **_list(deployment, "GIT_FILE_DIRECTORIES", "GIT_ALLOW_DIRECTORIES"),
        **({"GIT_CA_BUNDLE": str(deployment.ca_bundle)} if deployment.ca_bundle else {}),
        **_bytes(deployment, "GIT_MAX_REPOSITORY_MIB"),
        **_bytes(deployment, "GIT_MAX_WORKSPACE_MIB"),
    }


def _runner(deployment: Deployment) -> Mapping[str, str]:
    given = {
        "RUNNER_SLOTS": "RUNNER_SLOTS",
        "RUNNER_WARM": "RUNNER_WARM",
        "RUNNER_RUNTIME": "RUNNER_RUNTIME",
        "RUNNER_LEASE_TTL_SECONDS": "LEASE_TTL_SECONDS",
        "RUNNER_ALLOW_MISSING": "ALLOW_MISSING",
        "RUNNER_APPARMOR_PROFILE": "APPARMOR_PROFILE",
        "RUNNER_KEEP_IMAGES": "KEEP_IMAGES",
        "RUNNER_ENVIRONMENT_IMAGES": "ENVIRONMENT_IMAGES",
        "RUNNER_ENVIRONMENTS_MIB": "ENVIRONMENTS_MIB",
        "RUNNER_MAX_ENVIRONMENT_MIB": "MAX_ENVIRONMENT_MIB",
    }
    return {
        "RUNNER_EGRESS_SOCKET": str(deployment.layout.control / "egress.sock"),
        "RUNNER_DEPLOYMENT": deployment.config.deployment,
        "RUNNER_IMAGES": json.dumps(dict(deployment.images)),
        "DOCKER_HOST": deployment.settings.get("DOCKER_HOST", DOCKER_HOST),
        **{variable: deployment.settings[name] for variable, name in given.items() if name in deployment.settings},
    }


def _audit(deployment: Deployment) -> Mapping[str, str]:
    return {
        "AUDIT_SIGNING_KEY_FILE": str(deployment.layout.secret("audit", "signing-key")),
        "AUDIT_CHECKPOINT_FILE": str(deployment.layout.public / "audit" / "checkpoint"),
        "AUDIT_ORIGIN": f"async-code/{deployment.config.deployment}",
    }


def _python(
    deployment: Deployment,
    name: str,
    user: str,
    argv: tuple[str, ...],
    variables: Mapping[str, str],
    *,
    ready: Ready,
    after: tuple[str, ...],
    umask: int = 0o077,
) -> Process:
    # The working directory is the code, which no service can write to: `-m` puts it first on the module path.
    return Process(
        name=name,
        argv=argv,
        env={**_environment(deployment, user), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **variables},
        user=deployment.users[user],
        cwd=deployment.app.code,
        ready=ready,
        after=after,
        umask=umask,
    )


def _environment(deployment: Deployment, user: str) -> Mapping[str, str]:
    """What every process gets, and all it gets of the outside: nothing is inherited, so no key of the operator's shell leaks in."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "HOME": str(deployment.layout.data(user)),
        MARKER: deployment.config.deployment,
    }


def _health(deployment: Deployment, service: str) -> Mapping[str, str]:
    return {"HEALTH_HOST": "127.0.0.1", "HEALTH_PORT": str(deployment.config.ports[f"{service}_health"])}


def _database(deployment: Deployment, service: str) -> Mapping[str, str]:
    return {
        "DATABASE_URL": deployment.cluster.url(f"async_code_{service}", DATABASE),
        "DATABASE_PASSWORD_FILE": str(deployment.layout.secret(service, "database-password")),
    }


def _list(deployment: Deployment, variable: str, setting: str | None = None) -> Mapping[str, str]:
    """A list as pydantic-settings reads it: JSON. The setting has the variable's name where none is given."""
    given = deployment.settings.get(setting or variable)
    return {variable: json.dumps(_split(given))} if given else {}


def _bytes(deployment: Deployment, setting: str) -> Mapping[str, str]:
    """A size that people give in MiB as the bytes that the service counts in."""
    given = deployment.settings.get(setting)
    return {setting.replace("_MIB", "_BYTES"): str(int(given) << 20)} if given else {}


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
