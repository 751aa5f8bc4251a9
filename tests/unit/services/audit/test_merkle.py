import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit import merkle
from services.audit.errors import ProofInvalid, ProofMalformed

LEAVES = [
    bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""The eight leaves that Certificate Transparency's implementations test RFC 6962 with, and the roots of their prefixes."""

ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)

HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]
SIZES = st.integers(min_value=1, max_value=70)


def leaf_hashes(size: int) -> list[bytes]:
    return [merkle.leaf_hash(bytes([number])) for number in range(size)]


def mth_by_the_text(leaves: list[bytes]) -> bytes:
    """MTH written as RFC 9162 §2.1.1 reads, to check the frontier against."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth_by_the_text(leaves[:k]) + mth_by_the_text(leaves[k:])).digest()


def flip(data: bytes, bit: int) -> bytes:
    at = bit % (len(data) * 8)
    return bytes(byte ^ (1 << at % 8 if number == at // 8 else 0) for number, byte in enumerate(data))


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_of_certificate_transparency(size: int) -> None:
    assert merkle.root(HASHES[:size]).hex() == ROOTS[size - 1]


def test_empty_root_is_the_hash_of_nothing() -> None:
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_leaf_is_not_hashed_as_a_node() -> None:
    left, right = HASHES[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


@given(SIZES, st.data())
def test_the_frontier_gives_the_root_however_the_leaves_came(size: int, data: st.DataObject) -> None:
    leaves = leaf_hashes(size)
    cut = data.draw(st.integers(min_value=0, max_value=size))
    assert merkle.Frontier().extended(leaves[:cut]).extended(leaves[cut:]).root == mth_by_the_text(leaves)


@given(SIZES, st.data())
def test_every_entry_is_provably_in_the_log(size: int, data: st.DataObject) -> None:
    leaves = leaf_hashes(size)
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    merkle.verify_inclusion(
        leaf=leaves[index], index=index, size=size, proof=merkle.inclusion_proof(leaves, index), expected_root=merkle.root(leaves)
    )


@given(SIZES, st.data())
def test_every_log_provably_begins_with_its_past(size2: int, data: st.DataObject) -> None:
    leaves = leaf_hashes(size2)
    size1 = data.draw(st.integers(min_value=1, max_value=size2))
    merkle.verify_consistency(
        size1=size1,
        root1=merkle.root(leaves[:size1]),
        size2=size2,
        root2=merkle.root(leaves),
        proof=merkle.consistency_proof(leaves, size1),
    )


@given(SIZES, st.data(), st.integers(min_value=0))
def test_a_flipped_bit_breaks_an_inclusion_proof(size: int, data: st.DataObject, bit: int) -> None:
    leaves = leaf_hashes(size)
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    parts = [leaves[index], merkle.root(leaves), *merkle.inclusion_proof(leaves, index)]
    at = data.draw(st.integers(min_value=0, max_value=len(parts) - 1))
    parts[at] = flip(parts[at], bit)
    with pytest.raises(ProofInvalid):
        merkle.verify_inclusion(leaf=parts[0], index=index, size=size, proof=parts[2:], expected_root=parts[1])


@given(SIZES, st.data(), st.integers(min_value=0))
def test_a_flipped_bit_breaks_a_consistency_proof(size2: int, data: st.DataObject, bit: int) -> None:
    leaves = leaf_hashes(size2)
    size1 = data.draw(st.integers(min_value=1, max_value=size2))
    parts = [merkle.root(leaves[:size1]), merkle.root(leaves), *merkle.consistency_proof(leaves, size1)]
    at = data.draw(st.integers(min_value=0, max_value=len(parts) - 1))
    parts[at] = flip(parts[at], bit)
    with pytest.raises(ProofInvalid):
        merkle.verify_consistency(size1=size1, root1=parts[0], size2=size2, root2=parts[1], proof=parts[2:])


@given(SIZES, st.data())
def test_a_proof_holds_for_no_other_index(size: int, data: st.DataObject) -> None:
    leaves = leaf_hashes(size)
    index, other = (data.draw(st.integers(min_value=0, max_value=size - 1)) for _ in range(2))
    if index == other:
        return
    with pytest.raises((ProofInvalid, ProofMalformed)):
        merkle.verify_inclusion(
            leaf=leaves[index], index=other, size=size, proof=merkle.inclusion_proof(leaves, index), expected_root=merkle.root(leaves)
        )


@given(SIZES, st.data())
def test_a_proof_of_another_length_is_refused(size: int, data: st.DataObject) -> None:
    leaves = leaf_hashes(size)
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    proof = merkle.inclusion_proof(leaves, index)
    for wrong in ([*proof, HASHES[0]], proof[:-1] if proof else [HASHES[0]]):
        with pytest.raises(ProofMalformed):
            merkle.verify_inclusion(leaf=leaves[index], index=index, size=size, proof=wrong, expected_root=merkle.root(leaves))


@pytest.mark.parametrize(("size1", "size2"), [(0, 0), (0, 5), (-1, 5), (6, 5)])
def test_sizes_that_prove_nothing_are_refused(size1: int, size2: int) -> None:
    with pytest.raises(ProofMalformed):
        merkle.verify_consistency(size1=size1, root1=merkle.EMPTY_ROOT, size2=size2, root2=HASHES[0], proof=[])
    with pytest.raises(ProofMalformed):
        merkle.consistency_proof(leaf_hashes(size2), size1)


def test_bytes_moved_between_two_hashes_are_refused() -> None:
    """What a verifier accepts that never looks at the hashes' length."""
    leaves = leaf_hashes(4)
    first, second = merkle.inclusion_proof(leaves, 3)
    with pytest.raises(ProofMalformed):
        merkle.verify_inclusion(leaf=leaves[3], index=3, size=4, proof=[first + second[:1], second[1:]], expected_root=merkle.root(leaves))


def test_logs_of_one_size_need_no_proof_and_one_root() -> None:
    root = merkle.root(HASHES)
    merkle.verify_consistency(size1=8, root1=root, size2=8, root2=root, proof=[])
    with pytest.raises(ProofMalformed):
        merkle.verify_consistency(size1=8, root1=root, size2=8, root2=root, proof=[root])
    with pytest.raises(ProofInvalid):
        merkle.verify_consistency(size1=8, root1=root, size2=8, root2=HASHES[0], proof=[])


@pytest.mark.parametrize("index", [-1, 8])
def test_an_entry_outside_the_log_has_no_proof(index: int) -> None:
    with pytest.raises(ProofMalformed):
        merkle.inclusion_proof(HASHES, index)
    with pytest.raises(ProofMalformed):
        merkle.verify_inclusion(leaf=HASHES[0], index=index, size=8, proof=[], expected_root=HASHES[0])


def test_a_frontier_that_no_log_has_is_refused() -> None:
    for size, peaks in ((1, ()), (2, (HASHES[0], HASHES[1])), (-1, (HASHES[0],)), (1, (b"short",))):
        with pytest.raises(ProofMalformed):
            merkle.Frontier(size, peaks)
