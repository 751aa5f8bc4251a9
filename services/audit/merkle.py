"""The Merkle tree of RFC 6962 §2.1 and RFC 9162 §2.1: hashes, roots, proofs and their verification.

Pure functions over 32-byte hashes. Must never do I/O, and must never hash a leaf and a node the same way: the prefixes 0x00 and 0x01
(RFC 9162 §2.1.1) keep a node from being passed off as a leaf.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from services.audit.errors import ProofInvalid, ProofMalformed

HASH_BYTES = 32

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""The root of a log without entries (RFC 9162 §2.1.1)."""


def leaf_hash(leaf: bytes) -> bytes:
    """HASH(0x00 || leaf): RFC 9162 §2.1.1."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """HASH(0x01 || left || right): RFC 9162 §2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True)
class Frontier:
    """A log's size and the roots of its perfect subtrees, largest first: all that is needed to append and to give the root."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ProofMalformed(f"a frontier of size {self.size} has {self.size.bit_count()} peaks, not {len(self.peaks)}")
        _require_hashes(self.peaks)

    def extended(self, leaf_hashes: Iterable[bytes]) -> Self:
        """The frontier after these leaves."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaf_hashes:
            node, carry = leaf, size
            while carry & 1:
                node = node_hash(peaks.pop(), node)
                carry >>= 1
            peaks.append(node)
            size += 1
        return type(self)(size, tuple(peaks))

    @property
    def root(self) -> bytes:
        """MTH of the log (RFC 9162 §2.1.1): the peaks joined from the right."""
        if not self.peaks:
            return EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = node_hash(peak, node)
        return node


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """MTH (RFC 9162 §2.1.1) of a log with these leaf hashes."""
    return Frontier().extended(leaf_hashes).root


def _split(size: int) -> int:
    """The largest power of two below `size`: RFC 9162's k."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """PATH(index, D_n): RFC 9162 §2.1.3.1."""
    size = len(leaf_hashes)
    if not 0 <= index < size:
        raise ProofMalformed(f"a log of size {size} has no entry {index}")
    if size == 1:
        return []
    k = _split(size)
    if index < k:
        return [*inclusion_proof(leaf_hashes[:k], index), root(leaf_hashes[k:])]
    return [*inclusion_proof(leaf_hashes[k:], index - k), root(leaf_hashes[:k])]


def consistency_proof(leaf_hashes: Sequence[bytes], size1: int) -> list[bytes]:
    """PROOF(size1, D_n): RFC 9162 §2.1.4.1. A log of size 0 is consistent with every log and has no proof: refused."""
    if not 0 < size1 <= len(leaf_hashes):
        raise ProofMalformed(f"there is no proof from size {size1} to {len(leaf_hashes)}")
    return _subproof(leaf_hashes, size1, complete=True)


def _subproof(leaf_hashes: Sequence[bytes], size1: int, *, complete: bool) -> list[bytes]:
    """SUBPROOF(m, D_n, b): RFC 9162 §2.1.4.1."""
    size = len(leaf_hashes)
    if size1 == size:
        return [] if complete else [root(leaf_hashes)]
    k = _split(size)
    if size1 <= k:
        return [*_subproof(leaf_hashes[:k], size1, complete=complete), root(leaf_hashes[k:])]
    return [*_subproof(leaf_hashes[k:], size1 - k, complete=False), root(leaf_hashes[:k])]


def verify_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> None:
    """RFC 9162 §2.1.3.2: the leaf hash is entry `index` of the log of this size and root.

    Raises ProofMalformed or ProofInvalid.
    """
    _require_hashes([leaf, expected_root, *proof])
    if not 0 <= index < size:
        raise ProofMalformed(f"a log of size {size} has no entry {index}")
    fn, sn, node = index, size - 1, leaf
    for p in proof:
        if sn == 0:
            raise ProofMalformed("the inclusion proof is too long")
        if fn & 1 or fn == sn:
            node = node_hash(p, node)
            fn, sn = _climb_left(fn, sn)
        else:
            node = node_hash(node, p)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ProofMalformed("the inclusion proof is too short")
    _require_equal("root", expected_root, node)


def verify_consistency(*, size1: int, root1: bytes, size2: int, root2: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162 §2.1.4.2: the log of size2 begins with the log of size1. size1 = 0 is refused: it proves nothing.

    Raises ProofMalformed or ProofInvalid.
    """
    _require_hashes([root1, root2, *proof])
    if not 0 < size1 <= size2:
        raise ProofMalformed(f"there is no proof from size {size1} to {size2}")
    if size1 == size2:
        if proof:
            raise ProofMalformed("logs of one size need no proof")
        _require_equal("root", root1, root2)
        return
    path = list(proof) if size1 & (size1 - 1) else [root1, *proof]
    got1, got2 = _roots_from_consistency(size1, size2, path)
    _require_equal("older root", root1, got1)
    _require_equal("newer root", root2, got2)


def _roots_from_consistency(size1: int, size2: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Steps 3 to 6 of RFC 9162 §2.1.4.2: both roots, computed from the proof."""
    if not path:
        raise ProofMalformed("the consistency proof is empty")
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            raise ProofMalformed("the consistency proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            fn, sn = _climb_left(fn, sn)
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise ProofMalformed("the consistency proof is too short")
    return fr, sr


def _climb_left(fn: int, sn: int) -> tuple[int, int]:
    """Where the node is the last of its level, skip the levels on which it has no sibling (RFC 9162 §2.1.3.2, step 4.b)."""
    while fn and not fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


def _require_hashes(hashes: Iterable[bytes]) -> None:
    """The RFC leaves the length open; a verifier that does not check it accepts bytes moved from one hash to its neighbour."""
    if any(len(hash_) != HASH_BYTES for hash_ in hashes):
        raise ProofMalformed(f"a hash is {HASH_BYTES} bytes")


def _require_equal(what: str, expected: bytes, got: bytes) -> None:
    if got != expected:
        raise ProofInvalid(what, expected=expected, got=got)
