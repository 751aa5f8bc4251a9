"""What can be wrong with the trail. All but `LogMoved` need a person, or better input: trying again cannot help."""


class AuditError(Exception):
    """The trail cannot be kept, or cannot be proved."""


class ProofInvalid(AuditError):
    """A Merkle proof does not prove what it claims."""

    def __init__(self, what: str, *, expected: bytes, got: bytes) -> None:
        super().__init__(f"{what}: expected {expected.hex()}, got {got.hex()}")
        self.expected = expected
        self.got = got


class ProofMalformed(AuditError):
    """A Merkle proof cannot be a proof: a wrong number or length of hashes, or sizes that no log has."""


class CheckpointInvalid(AuditError):
    """A checkpoint is malformed, or not signed by the expected key."""


class KeyUnusable(AuditError):
    """A signing or verifier key cannot be used: absent, malformed, or readable by others."""


class EntryInvalid(AuditError):
    """An exported entry cannot be read back."""


class TrailBroken(AuditError):
    """The stored log contradicts a checkpoint that was published: nothing more is appended or signed until a person has looked."""


class LogMoved(AuditError):
    """The log is longer than its writer knew: it takes the log up again, and goes on."""


class NotCurrent(AuditError):
    """The trail is behind what happened, or behind its own seal."""


class NothingSealed(AuditError):
    """There is no checkpoint yet."""
