"""Doors as the runner opens and closes them, with an egress process that may be away."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from services.runner.doors import DoorRequest
from services.runner.egress_client import EgressClient, EgressUnreachable
from shared.bus.connection import Bus
from shared.events import ids
from shared.events.ids import CredentialId, OwnerId, RunId, TaskId
from shared.events.questions import AskSealedCredential, SealedCredential
from shared.events.values import CredentialRef, Purpose
from tests.servers.egress import EgressProcess


class Gateway:
    """Answers with what was sealed for each credential."""

    def __init__(self) -> None:
        self.sealed: dict[str, str] = {}

    async def ask(self, question: AskSealedCredential) -> SealedCredential:
        return SealedCredential.model_validate({"sealed": self.sealed[question.credential_id]})


def asked(door: dict[str, Any]) -> DoorRequest:
    return DoorRequest(
        run_id=RunId(door["run_id"]),
        fence=1,
        owner=OwnerId(door["owner"]),
        task_id=TaskId(ids.fresh()),
        credential=CredentialRef(credential_id=CredentialId(door["credential_id"]), version=1, purpose=Purpose.MODEL_KEY),
        vendor="anthropic",
        max_cost_usd=1.0,
        max_answers=None,
    )


async def test_a_door_that_could_not_be_closed_is_closed_by_a_sweep_and_no_other(short_path: Path) -> None:
    """Its run ended while the process was away: its directory, what was spent and perhaps a listener with a key would stay."""
    gateway, egress = Gateway(), EgressProcess(short_path, "http://127.0.0.1:9")
    client = EgressClient(cast("Bus", gateway), egress.control)
    await egress.start()
    try:
        left, held = asked(egress_door(egress, gateway)), asked(egress_door(egress, gateway))
        for request in (left, held):
            await client.open(request)
        egress.kill()
        with pytest.raises(EgressUnreachable):
            await client.close(left.run_id, 1)
        with pytest.raises(EgressUnreachable):
            await client.sweep()
        await egress.start()
        await client.sweep()
        assert names(short_path) == {f"{held.run_id}.1"}
        await client.close(held.run_id, 1)
        assert names(short_path) == set()
    finally:
        egress.stop()


async def test_a_place_whose_doors_end_was_not_heard_is_swept_and_no_other(short_path: Path) -> None:
    """A process that was started anew knows doors by their run alone: the place that a killed sandbox had mounted would stay."""
    gateway, egress = Gateway(), EgressProcess(short_path, "http://127.0.0.1:9")
    client = EgressClient(cast("Bus", gateway), egress.control)
    await egress.start()
    try:
        left, held = [replace(asked(egress_door(egress, gateway)), place=await client.place()) for _each in range(2)]
        for request in (left, held):
            await client.open(request)
        waiting, unwanted = await client.place(), await client.place()
        egress.kill()
        with pytest.raises(EgressUnreachable):
            await client.close(left.run_id, 1)
        with pytest.raises(EgressUnreachable):
            await client.give_up(unwanted)
        await egress.start()
        for _look in range(2):  # one that was made just now may not be known yet
            await client.sweep()
        assert held.place is not None
        assert {path.name for path in (short_path / "sockets").iterdir()} == {held.place.name, waiting.name}
        await client.spending(held.run_id, 1)
        await client.close(held.run_id, 1)
        await client.give_up(waiting)
        assert names(short_path) == set()
    finally:
        egress.stop()


def egress_door(egress: EgressProcess, gateway: Gateway) -> dict[str, Any]:
    door = egress.door("sk-ant-planted")
    gateway.sealed[door["credential_id"]] = door["sealed"]
    return door


def names(directory: Path) -> set[str]:
    """What is left of doors on the disk."""
    return {path.name for path in (directory / "sockets").iterdir()} | {path.stem for path in (directory / "state").glob("*.json")}
