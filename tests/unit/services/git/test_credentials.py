import pytest

from services.git import credentials
from services.git.credentials import UnusableCredential


def test_a_token_goes_with_the_name_hosts_take_for_tokens() -> None:
    login = credentials.login(b"ghp_abc\n")
    assert (login.username.get_secret_value(), login.password.get_secret_value()) == ("x-access-token", "ghp_abc")


def test_a_name_may_stand_before_the_password() -> None:
    login = credentials.login(b"user:pa:ss")
    assert (login.username.get_secret_value(), login.password.get_secret_value()) == ("user", "pa:ss")


@pytest.mark.parametrize("secret", [b"", b" \n", b"a\nb", b"a\x00b", b"\xff\xfe", b":x", b"x:"])
def test_what_cannot_be_a_token(secret: bytes) -> None:
    with pytest.raises(UnusableCredential):
        credentials.login(secret)


def test_a_login_shows_nothing() -> None:
    assert "hunter2" not in repr(credentials.login(b"user:hunter2"))
