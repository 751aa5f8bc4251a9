from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.client import Client
from cli.sessions import SessionFile

from .api import EMAIL, PASSWORD, Api, serving
from .command import Person


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


@pytest.fixture
def person(api: Api, tmp_path: Path) -> Person:
    """Nobody signed in yet."""
    return Person(tmp_path, api.url)


@pytest.fixture
def client(api: Api, person: Person) -> Iterator[Client]:
    """Somebody signed in, on whose behalf commands run too."""
    client = Client(api.url, SessionFile(person.environment))
    client.sign_in(EMAIL, PASSWORD)
    yield client
    client.close()
