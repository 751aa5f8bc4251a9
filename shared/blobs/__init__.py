"""Content-addressed blobs over the bus."""

from shared.blobs.errors import BlobCorrupt, BlobMissing, BlobStoreFull, BlobTooLarge
from shared.blobs.store import BlobStore

__all__ = ["BlobCorrupt", "BlobMissing", "BlobStore", "BlobStoreFull", "BlobTooLarge"]
