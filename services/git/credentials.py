"""Opens a sealed git token with this service's keyring, and splits it into the user name and password that git asks for."""

from dataclasses import dataclass

from pydantic import SecretStr

from shared.telemetry import redaction

TOKEN_USER = "x-access-token"  # noqa: S105 - a name, not a secret
"""What GitHub documents for tokens; GitLab, Gitea and Forgejo take any name beside a token."""


class UnusableCredential(ValueError):
    """The stored secret cannot be a token: it is empty, no text, or holds line breaks or control characters."""


@dataclass(frozen=True, slots=True)
class Login:
    """What git is told when a remote asks."""

    username: SecretStr
    password: SecretStr


def login(secret: bytes) -> Login:
    """The login in a stored secret: `token`, or `user:password` for hosts that check the name (Bitbucket's app passwords)."""
    try:
        text = secret.decode().strip()
    except UnicodeDecodeError as error:
        raise UnusableCredential("the secret is not UTF-8") from error
    if not text or not text.isprintable():
        raise UnusableCredential("the secret is empty or holds control characters")
    name, colon, password = text.partition(":")
    if not colon:
        return Login(SecretStr(TOKEN_USER), SecretStr(text))
    if not name or not password:
        raise UnusableCredential("the secret has a colon but not both a user name and a password")
    redaction.forget(password)  # the keyring knows only both together
    return Login(SecretStr(name), SecretStr(password))
