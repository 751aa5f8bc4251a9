"""Why a secret could not be read. None of them says anything about what the secret is."""


class SecretsError(Exception):
    """A secret could not be handled."""

    retryable = False


class NotPrivate(SecretsError):
    """A file that holds a secret can be read by others than its owner."""


class InvalidKeyring(SecretsError):
    """The file is no keyring, or its keys do not fit together."""


class UnknownKey(SecretsError):
    """It was sealed for a key that is not in this keyring: for another service, or the key was retired too early."""


class WrongContext(SecretsError):
    """It was sealed for another purpose, owner, credential or version, or its bytes were changed. Which of these cannot be told."""


class InvalidSealed(SecretsError):
    """The bytes are not a sealed secret of a form this version knows."""
