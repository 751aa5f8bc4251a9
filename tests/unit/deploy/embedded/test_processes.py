import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.embedded import measuring
from deploy.embedded.install import App
from deploy.embedded.process import Process
from deploy.embedded.processes import Deployment, table
from deploy.embedded.state import Config, Layout
from deploy.embedded.users import OPERATOR, SERVICES, User
from deploy.postgres.binaries import Binaries

PORTS = {
    name: 20_000 + number
    for number, name in enumerate(
        ["nats", "postgres", "auth", *(f"{service}_health" for service in ("gateway", "scheduler", "git", "runner", "egress", "audit"))]
    )
}
SETTINGS = {
    "GIT_ALLOW_NETWORKS": "10.0.0.0/8, 127.0.0.0/8",
    "GIT_ALLOW_PROTOCOLS": "https,file",
    "GIT_ALLOW_DIRECTORIES": "/srv/git",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
    "EGRESS_ALLOW_NETWORKS": "127.0.0.0/8",
    "CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
    "LEASE_TTL_SECONDS": "7",
    "RUNNER_SLOTS": "3",
    "RUNNER_RUNTIME": "runsc",
    "MAX_LIMITS": '{"memory_mib": 8192}',
    "SIGNUP": "true",
    "STREAMS": '{"EVT": {"days": 100}, "BLOB_RESULT": {"days": 120}}',
    "GIT_CACHE_MIB": "100",
    "KEEP_TASKS_DAYS": "30",
}


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-key")
    users = {
        service: User(f"async-code-{service}", 900 + number, 900 + number, switch=os.geteuid() == 0)
        for number, service in enumerate(SERVICES)
    }
    return Deployment(
        Layout(Path("/state")),
        Config("8b5c0c0e-2b35-4b6c-8c51-0c4cf3d6f5ab", 8400, PORTS),
        SETTINGS,
        {**users, OPERATOR: User("root", 0, 0)},
        App(Path("/state/app/code"), Path("/state/app/venv")),
        Binaries(Path("/postgres")),
        {"shell": "async-code/shell:0123"},
    )


def by_name(deployment: Deployment) -> Mapping[str, Process]:
    return {process.name: process for process in table(deployment)}


def test_each_service_runs_as_its_own_user_and_nothing_but_the_provisioner_as_root(deployment: Deployment) -> None:
    processes = by_name(deployment)
    assert {name for name, process in processes.items() if process.user.uid == 0} == {"provision"}
    assert len({process.user.uid for process in processes.values()}) == len(processes)


def test_everything_starts_after_what_it_needs(deployment: Deployment) -> None:
    seen: set[str] = set()
    for process in table(deployment):
        assert set(process.after) <= seen
        seen.add(process.name)


def test_nothing_of_the_operators_environment_reaches_a_process(deployment: Deployment) -> None:
    for process in table(deployment):
        assert "planted-key" not in str(dataclasses.asdict(process))
        assert not {"ANTHROPIC_API_KEY", "SHELL", "USER"} & set(process.env)
        assert process.env["ASYNC_CODE_DEPLOYMENT"] == deployment.config.deployment


def test_a_process_is_told_of_no_secret_but_its_own(deployment: Deployment) -> None:
    for process in table(deployment):
        named = [value for value in (*process.argv, *process.env.values()) if value.startswith("/state/secrets/")]
        assert all(path.startswith(f"/state/secrets/{process.name}/") for path in named)


def test_the_operators_settings_arrive_where_they_belong(deployment: Deployment) -> None:
    processes = by_name(deployment)
    git, egress, runner, auth = (processes[name].env for name in ("git", "egress", "runner", "auth"))
    assert git["GIT_ALLOW_NETWORKS"] == '["10.0.0.0/8", "127.0.0.0/8"]'
    assert git["GIT_ALLOW_PROTOCOLS"] == '["https", "file"]'
    assert git["GIT_FILE_DIRECTORIES"] == '["/srv/git"]'
    assert processes["gateway"].env["GATEWAY_ALLOW_REPOSITORY_SCHEMES"] == '["https", "file"]'
    assert egress["EGRESS_ANTHROPIC_BASE_URL"] == "http://127.0.0.1:9"
    assert egress["EGRESS_OPENAI_BASE_URL"] == "https://api.openai.com"
    assert egress["EGRESS_CA_BUNDLE"] == git["GIT_CA_BUNDLE"] == "/state/public/ca-bundle.pem"
    assert (runner["RUNNER_SLOTS"], runner["RUNNER_LEASE_TTL_SECONDS"], runner["RUNNER_RUNTIME"]) == ("3", "7", "runsc")
    assert runner["RUNNER_IMAGES"] == '{"shell": "async-code/shell:0123"}'
    assert processes["gateway"].env["GATEWAY_MAX_LIMITS"] == '{"memory_mib": 8192}'
    assert auth["AUTH_SIGNUP_ENABLED"] == "true"


def test_packages_come_from_where_the_operator_says_and_else_from_where_this_machine_s_clients_go(deployment: Deployment) -> None:
    found = {
        "PIP": ["https://index.example/simple"],
        "NPM": ["https://npm.example"],
        "DEBIAN": ["http://a.example/d", "http://b.example/d"],
    }
    said = {"PACKAGES_NPM": "none", "PACKAGES_GO": "https://go.example", "PACKAGES_FILE_ORIGINS": "https://f.example, https://g.example"}
    settled = dataclasses.replace(deployment, registries=found, settings={**deployment.settings, **said})
    egress, gateway = (by_name(settled)[name].env for name in ("egress", "gateway"))
    assert gateway["GATEWAY_PACKAGES"] == '["pip", "go", "debian"]'
    assert {name.removeprefix("EGRESS_PACKAGES_"): value for name, value in egress.items() if "PACKAGES" in name} == {
        "PIP": "https://index.example/simple",
        "GO": "https://go.example",
        "DEBIAN": '["http://a.example/d", "http://b.example/d"]',
        "FILE_ORIGINS": '["https://f.example", "https://g.example"]',
    }


def test_only_who_has_a_schema_is_told_of_the_database(deployment: Deployment) -> None:
    told = {name for name, process in by_name(deployment).items() if "DATABASE_URL" in process.env}
    assert told == {"gateway", "scheduler", "audit", "auth"}


def test_what_is_kept_outlives_what_can_come_again(deployment: Deployment) -> None:
    processes = by_name(deployment)
    scheduler = processes["scheduler"].env
    assert (scheduler["SCHEDULER_INBOX_DAYS"], scheduler["SCHEDULER_KEEP_TASKS_DAYS"]) == ("116", "122")
    assert processes["gateway"].env["GATEWAY_KEEP_TASKS_DAYS"] == "30"
    assert processes["git"].env["GIT_MAX_CACHE_BYTES"] == str(100 * 1024 * 1024)
    plain = by_name(dataclasses.replace(deployment, settings={}))
    assert (plain["scheduler"].env["SCHEDULER_INBOX_DAYS"], plain["scheduler"].env["SCHEDULER_KEEP_TASKS_DAYS"]) == ("60", "90")
    assert "GATEWAY_KEEP_TASKS_DAYS" not in plain["gateway"].env


def test_the_logs_of_all_processes_are_counted(deployment: Deployment) -> None:
    everything = table(dataclasses.replace(deployment, settings={"SCRIPTED_MODEL": "true"}, config=_with_model(deployment.config)))
    assert len(everything) + 2 == measuring.LOGS


def _with_model(config: Config) -> Config:
    return dataclasses.replace(config, ports={**config.ports, "model": 30_000})
