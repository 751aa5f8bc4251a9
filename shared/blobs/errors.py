"""What can be wrong with a blob."""

from shared.bus.errors import Terminal, Transient


class BlobMissing(Terminal):
    """The blob is not stored, or not all of it: it was never written, or its age is over."""


class BlobCorrupt(Terminal):
    """What is stored under this name is not what its name says."""


class BlobTooLarge(Terminal):
    """The blob is over the cap of its class, or over what the reader takes."""


class BlobStoreFull(Transient):
    """There is no room for blobs of this class now; the oldest leave with age."""
