"""Whose packages a project's sandboxes may read: nobody's until a person says so, and what was handed in keeps what held then."""

import asyncio

from shared.events import catalogue
from shared.events.commands import SchedulerSubmit
from shared.events.facts import ProjectChanged
from shared.events.values import Ecosystem

from .stack import Gateway, Person


async def test_the_list_goes_with_what_is_handed_in_from_then_on(gateway: Gateway, somebody: Person, another: Person) -> None:
    project = await somebody.project()
    assert (await somebody.get(f"/v1/projects/{project}"))["allow_packages"] == []
    await somebody.task(project)
    changed = (await somebody.http.patch(f"/v1/projects/{project}", json={"allow_packages": ["npm", "pip", "npm"]})).json()
    assert changed["allow_packages"] == ["pip", "npm"]
    await somebody.task(project)
    assert (await somebody.http.patch(f"/v1/projects/{project}", json={})).json() == changed
    for refused in (["maven"], ["pip; rm"], "pip", ["debian"]):
        assert (await somebody.http.patch(f"/v1/projects/{project}", json={"allow_packages": refused})).status_code == 422
    assert (await another.http.patch(f"/v1/projects/{project}", json={"allow_packages": []})).status_code == 404
    async with gateway.service("scheduler") as scheduler, asyncio.timeout(20):
        while len(sent := await scheduler.bus.read("CMD", "cmd.scheduler.submit.>", 0)) < 2:
            pass
        submits = [catalogue.parse(message.data).data for message in sent]
        facts = [catalogue.parse(message.data).data for message in await scheduler.bus.read("EVT", "evt.project.changed.>", 0)]
    assert [submit.packages for submit in submits if isinstance(submit, SchedulerSubmit)] == [(), (Ecosystem.PIP, Ecosystem.NPM)]
    assert [fact.packages for fact in facts if isinstance(fact, ProjectChanged)] == [(Ecosystem.PIP, Ecosystem.NPM)]


async def test_a_project_can_be_made_with_its_list(somebody: Person) -> None:
    made = await somebody.post("/v1/projects", {"name": "web", "allow_packages": ["go", "cargo"]})
    assert made["allow_packages"] == ["cargo", "go"]


async def test_what_the_deployment_does_not_serve_is_refused_by_name(somebody: Person) -> None:
    refused = await somebody.http.post("/v1/projects", json={"name": "web", "allow_packages": ["pip", "debian"]})
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {
            "field": "body.allow_packages",
            "rule": "not_served",
            "message": "this deployment serves no packages of debian; it serves: cargo, go, npm, pip",
        }
    ]
