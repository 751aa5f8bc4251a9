import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.auth.errors import RefreshTokenNotFound
from deploy.embedded.auth.refresh import RefreshToken
from deploy.embedded.auth.rotation import Rotation, decide

KEY = b"a planted key"


@given(st.uuids(), st.integers(min_value=0, max_value=2**64 - 1))
def test_a_token_is_read_back(session: uuid.UUID, number: int) -> None:
    token = RefreshToken(session, number)
    assert RefreshToken.read(token.sign(KEY), KEY) == token


@given(st.text(max_size=200))
def test_what_we_did_not_sign_is_unknown(text: str) -> None:
    with pytest.raises(RefreshTokenNotFound):
        RefreshToken.read(text, KEY)


@given(st.integers(min_value=0, max_value=55), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed(position: int, change: int) -> None:
    raw = bytearray(base64.urlsafe_b64decode(RefreshToken(uuid.UUID(int=7), 3).sign(KEY) + "=="))
    raw[position] ^= change
    with pytest.raises(RefreshTokenNotFound):
        RefreshToken.read(base64.urlsafe_b64encode(bytes(raw)).decode(), KEY)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(RefreshTokenNotFound):
        RefreshToken.read(RefreshToken(uuid.UUID(int=7), 3).sign(b"other"), KEY)


@pytest.mark.parametrize(
    ("sent", "reused", "expected"),
    [
        (5, False, Rotation.ADVANCE),
        (5, True, Rotation.ADVANCE),
        (4, False, Rotation.GIVE_CURRENT),
        (4, True, Rotation.REVOKE),
        (3, False, Rotation.REVOKE),
        (6, False, Rotation.REVOKE),
    ],
)
def test_every_case_of_rotation(sent: int, reused: bool, expected: Rotation) -> None:
    assert decide(sent=sent, current=5, parent_reused=reused) is expected
