"""From an address as a person wrote it and a credential's id to a remote git may talk to.

The opened token lives in this process alone, for one command's work; it is never logged, stored or sent.
"""

from collections.abc import Collection

import structlog

from services.git import addresses, credentials, errors, resolution
from services.git.addresses import RepositoryAddress
from services.git.command import Remote
from services.git.credentials import Login, UnusableCredential
from services.git.ports import Messages, Opener
from services.git.resolution import Reach
from shared.bus import errors as bus_errors
from shared.events.ids import OwnerId, TaskId
from shared.events.questions import AskSealedCredential
from shared.events.values import CredentialRef, Purpose
from shared.secrets.context import Context
from shared.secrets.errors import SecretsError

log = structlog.get_logger(__name__)


class Remotes:
    """Judges addresses and opens credentials, by what the operator allows."""

    def __init__(self, messages: Messages, keyring: Opener, *, protocols: Collection[str], reach: Reach) -> None:
        self._messages = messages
        self._keyring = keyring
        self._protocols = protocols
        self._reach = reach

    def address(self, url: str) -> RepositoryAddress:
        """The address in a text. Raises AddressRefused."""
        return addresses.parse(url, self._protocols)

    async def remote(self, address: RepositoryAddress, owner: OwnerId, task: TaskId, credential: CredentialRef | None) -> Remote:
        """The remote at the address, resolved now. Raises AddressRefused, Unreachable, RepositoryAuth, NoAnswer."""
        destination = await resolution.resolve(address, self._reach)
        return Remote(destination, None if credential is None else await self._login(owner, task, credential))

    async def _login(self, owner: OwnerId, task: TaskId, credential: CredentialRef) -> Login:
        if credential.purpose != Purpose.GIT_TOKEN:
            raise errors.RepositoryAuth("the credential is not for git")
        question = AskSealedCredential(owner=owner, task_id=task, credential_id=credential.credential_id, version=credential.version)
        try:
            answer = await self._messages.ask(question)
        except bus_errors.Refused as error:
            raise errors.RepositoryAuth("the credential is no longer stored") from error
        context = Context(purpose=credential.purpose, owner=owner, credential_id=credential.credential_id, version=credential.version)
        try:
            return credentials.login(self._keyring.open(answer.sealed, context).get_secret_value())
        except (SecretsError, UnusableCredential) as error:
            log.warning("credential_unusable", credential_id=credential.credential_id, error=type(error).__name__)
            raise errors.RepositoryAuth("the credential cannot be used") from error
