"""Keys in a file of their own, and their rotation."""

import json
from pathlib import Path

import pytest

from shared.events import ids
from shared.events.ids import CredentialId, OwnerId
from shared.events.values import Purpose
from shared.secrets import Context, InvalidKeyring, KeyPair, Keyring, NotPrivate, PublicKey, UnknownKey, key_id, seal
from shared.telemetry import redaction

CONTEXT = Context(Purpose.MODEL_KEY, OwnerId(ids.fresh()), CredentialId(ids.fresh()), 3)


def test_a_saved_keyring_is_private_and_loads_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "git.keyring"
    ring = Keyring.generate()
    ring.save(path)
    assert path.stat().st_mode & 0o7777 == 0o600
    assert Keyring.load(path) == ring
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o700, 0o4600])
def test_a_keyring_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "git.keyring"
    Keyring.generate().save(path)
    path.chmod(mode)
    with pytest.raises(NotPrivate):
        Keyring.load(path)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"version": 1, "primary": "x", "keys": []}', '{"version": 1, "primary": "x", "keys": [{"private": "AA=="}]}'],
)
def test_what_is_no_keyring_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "git.keyring"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(InvalidKeyring):
        Keyring.load(path)


def test_rotation_without_a_pause() -> None:
    ring = Keyring.generate()
    old = ring.primary
    stored = seal(old, b"the value", CONTEXT)

    ring, new = ring.add()
    assert ring.primary == old  # others may seal with either now
    assert ring.open(seal(new, b"early", CONTEXT), CONTEXT).get_secret_value() == b"early"

    ring = ring.promote(new.id)
    assert ring.primary == new
    assert ring.open(stored, CONTEXT).get_secret_value() == b"the value"

    stored = seal(ring.primary, ring.open(stored, CONTEXT), CONTEXT)
    assert key_id(stored) == new.id

    ring = ring.retire(old.id)
    assert ring.key_ids == (new.id,)
    assert ring.open(stored, CONTEXT).get_secret_value() == b"the value"
    with pytest.raises(UnknownKey):
        ring.open(seal(old, b"too late", CONTEXT), CONTEXT)


def test_a_keyring_cannot_lose_its_primary_nor_hold_a_key_twice() -> None:
    ring = Keyring.generate()
    with pytest.raises(InvalidKeyring):
        ring.retire(ring.primary_id)
    with pytest.raises(InvalidKeyring):
        ring.add(ring.pairs[0])
    with pytest.raises(UnknownKey):
        ring.promote(KeyPair.generate().public.id)


def test_the_public_part_is_all_that_is_exported(tmp_path: Path) -> None:
    path = tmp_path / "git.public"
    ring = Keyring.generate()
    ring.primary.export(path)
    assert path.stat().st_mode & 0o777 == 0o644
    assert PublicKey.load(path) == ring.primary
    assert set(json.loads(path.read_text())) == {"version", "key_id", "public"}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key_id": "0" * 16}))
    with pytest.raises(InvalidKeyring):
        PublicKey.load(path)


def test_what_was_opened_is_redacted_from_then_on() -> None:
    ring = Keyring.generate()
    ring.open(seal(ring.primary, b"opened-a-moment-ago", CONTEXT), CONTEXT)
    assert redaction.redact_text("it says opened-a-moment-ago") == "it says [redacted]"
