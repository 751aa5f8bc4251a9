"""The real egress process on sockets of its own, with a keyring of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from services.runner.egress.messages import DoorReport, OpenDoor, OpenedDoor
from shared.events import ids
from shared.events.ids import CredentialId, OwnerId, RunId
from shared.events.values import Purpose
from shared.secrets import Context, Keyring, seal

ROOT = Path(__file__).parents[2]


@dataclass
class EgressProcess:
    """`python -m services.runner.egress` in `directory`."""

    directory: Path
    base_url: str
    allow_networks: str = '["127.0.0.0/8"]'
    patience_seconds: float = 0
    more: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further variables."""
    keyring: Keyring = field(default_factory=Keyring.generate)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def control(self) -> Path:
        return self.directory / "control.sock"

    @property
    def log(self) -> Path:
        return self.directory / "egress.log"

    async def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.keyring.save(self.directory / "keyring.json")
        environment = {
            "PATH": os.environ["PATH"],
            "EGRESS_KEYRING_FILE": str(self.directory / "keyring.json"),
            "EGRESS_CONTROL_SOCKET": str(self.control),
            "EGRESS_SOCKETS_DIR": str(self.directory / "sockets"),
            "EGRESS_STATE_DIR": str(self.directory / "state"),
            "EGRESS_ANTHROPIC_BASE_URL": self.base_url,
            "EGRESS_OPENAI_BASE_URL": self.base_url,
            "EGRESS_ALLOW_NETWORKS": self.allow_networks,
            "EGRESS_PATIENCE_SECONDS": str(self.patience_seconds),
            **self.more,
        }
        self.control.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "services.runner.egress"], cwd=ROOT, env=environment, stderr=log)  # noqa: ASYNC220
        async with asyncio.timeout(20):
            while not await self._answers():
                if self.process.poll() is not None:
                    raise RuntimeError(self.log.read_text())
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            return (await self.call("GET", "/doors/none"))[0] == 404
        except OSError:
            return False

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    async def call(self, method: str, path: str, document: Any = None) -> tuple[int, bytes]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(self.control))) as session,
            session.request(method, f"http://egress{path}", json=document) as answer,
        ):
            return answer.status, await answer.read()

    def door(
        self,
        key: str,
        *,
        vendor: str = "anthropic",
        max_cost_usd: float = 1.0,
        max_answers: int | None = None,
        token: str = "t" * 32,
        base_url: str | None = None,
        stored_for: str | None = None,
    ) -> dict[str, Any]:
        """A request for a door whose credential is `key`, sealed for this process."""
        owner, credential = OwnerId(ids.fresh()), CredentialId(ids.fresh())
        sealed = seal(
            self.keyring.primary,
            key.encode(),
            Context(Purpose.MODEL_KEY, owner, credential, 1, vendor if stored_for is None else stored_for),
        )
        asked = OpenDoor.model_construct(
            run_id=RunId(ids.fresh()),
            fence=1,
            token=SecretStr(token),
            owner=owner,
            credential_id=credential,
            version=1,
            sealed=bytes(sealed),
            vendor=vendor,
            base_url=base_url,
            max_answers=max_answers,
            max_cost_usd=max_cost_usd,
        )
        return asked.model_dump(mode="json")

    def packages_door(self, families: Sequence[str]) -> dict[str, Any]:
        """A request for a door to packages alone."""
        run: dict[str, Any] = {"run_id": ids.fresh(), "fence": 1, "token": "t" * 32, "owner": ids.fresh(), "max_cost_usd": 1.0}
        return run | {"packages": list(families)}

    async def open(self, document: dict[str, Any]) -> Path:
        """Open a door; gives the path of its socket."""
        status, body = await self.call("POST", "/doors", document)
        assert status == 200, body
        opened = OpenedDoor.model_validate_json(body)
        return Path(opened.directory) / opened.socket_name

    async def report(self, document: dict[str, Any]) -> DoorReport:
        return DoorReport.model_validate_json((await self.call("GET", f"/doors/{document['run_id']}.{document['fence']}"))[1])
