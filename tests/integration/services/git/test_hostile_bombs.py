"""Little packs that become a lot: each ends at a limit that is told to the system or counted beforehand, never at luck."""

import random
from dataclasses import replace
from pathlib import Path

from services.git import diffs
from services.git.diffs import Sizes
from services.git.packs import MAX_DEPTH
from services.git.protected import Protection
from tests.integration.services.git.attack import (
    BLOB,
    REF_DELTA,
    TAKEN_IN,
    TREE,
    Attack,
    Watched,
    copying,
    entry,
    object_sha,
    sealed,
    zeros,
)
from tests.integration.services.git.line import BOUNDS, MIB, sandbox
from tests.servers import git_objects

NO_MEMORY = "pack_refused: git refused the pack: it takes too much memory"
UNFOLDS = "result_too_large: the pack unfolds to more than it may"


def one_file(sha: str) -> bytes:
    """The tree of one file `x`."""
    return b"100644 x\0" + bytes.fromhex(sha)


def with_file(sha: str, *entries: bytes) -> tuple[str, bytes]:
    """These objects and the tree of one of them."""
    return object_sha("tree", one_file(sha)), sealed([*entries, entry(TREE, one_file(sha))])


async def test_a_small_pack_that_unfolds_ends_within_its_memory(attack: Attack) -> None:
    pack = sealed([zeros(400)])
    assert len(pack) < MIB
    assert await attack.verdict("e" * 40, pack, replace(BOUNDS, memory_bytes=256 * MIB)) == NO_MEMORY


async def test_what_unfolds_within_memory_is_counted(attack: Attack) -> None:
    pack = sealed([zeros(24), zeros(23), zeros(22)])
    tree = object_sha("tree", one_file(object_sha("blob", bytes(24 * MIB))))
    pack = sealed([zeros(24), zeros(23), zeros(22), entry(TREE, one_file(object_sha("blob", bytes(24 * MIB))))])
    assert len(pack) < MIB
    assert await attack.verdict(tree, pack, replace(BOUNDS, unfolded_bytes=64 * MIB)) == UNFOLDS
    assert await attack.verdict(tree, pack, replace(BOUNDS, unfolded_bytes=70 * MIB)) == TAKEN_IN


async def test_deltas_that_copy_their_base_again_and_again(attack: Attack) -> None:
    """64 KiB of zeros, 40 times, 40 times: 100 MiB out of a kilobyte."""
    small, middle, large = bytes(2**16), bytes(2**16 * 40), bytes(2**16 * 1600)
    names = [object_sha("blob", content) for content in (small, middle, large)]
    first = entry(REF_DELTA, copying(len(small), times=40), base=names[0])
    second = entry(REF_DELTA, copying(len(middle), times=40), base=names[1])
    tree, pack = with_file(names[2], entry(BLOB, small), first, second)
    assert len(pack) < 10_000
    assert await attack.verdict(tree, pack, replace(BOUNDS, unfolded_bytes=64 * MIB)) == UNFOLDS
    assert await attack.verdict(tree, pack, replace(BOUNDS, memory_bytes=64 * MIB)) == NO_MEMORY


async def test_a_long_chain_of_deltas_is_no_deep_recursion(attack: Attack) -> None:
    contents = [b"%08d" % number for number in range(3_000)]
    names = [object_sha("blob", content) for content in contents]
    chain = [entry(REF_DELTA, b"\x08\x08\x08" + made, base=base) for base, made in zip(names, contents[1:], strict=False)]
    tree, pack = with_file(names[-1], entry(BLOB, contents[0]), *chain)
    assert await attack.verdict(tree, pack) == TAKEN_IN


async def test_very_many_objects(attack: Attack) -> None:
    tree, pack = with_file(object_sha("blob", b"0"), *(entry(BLOB, b"%d" % number) for number in range(2_000)))
    assert await attack.verdict(tree, pack, replace(BOUNDS, objects=1_000)) == (
        "result_too_large: the pack announces 2001 objects, more than 1000"
    )
    lying = sealed([], count=2**32 - 1)
    assert await attack.verdict(tree, lying) == "result_too_large: the pack announces 4294967295 objects, more than 1000000"
    assert await attack.verdict(tree, pack) == TAKEN_IN


def nested(depth: int, *, times: int = 1) -> tuple[str, bytes]:
    """Trees in each other; each holds the next one `times` times."""
    blob = object_sha("blob", b"0")
    content = one_file(blob)
    entries = [entry(BLOB, b"0"), entry(TREE, content)]
    for _ in range(depth - 1):
        inner = bytes.fromhex(object_sha("tree", content))
        content = b"".join(b"40000 %d\0" % number + inner for number in range(times))
        entries.append(entry(TREE, content))
    return object_sha("tree", content), sealed(entries)


async def test_trees_that_nest_deeper_than_git_s_stack(attack: Attack) -> None:
    too_deep = f"result_too_large: the trees of the pack nest more than {MAX_DEPTH} deep"
    assert await attack.verdict(*nested(20_000)) == too_deep
    assert await attack.verdict(*nested(MAX_DEPTH + 1)) == too_deep
    assert await attack.verdict(*nested(MAX_DEPTH)) == TAKEN_IN


async def test_trees_that_double_at_each_level(attack: Attack) -> None:
    for depth in (22, 200):
        verdict = await attack.verdict(*nested(depth, times=2))
        assert verdict == "result_too_large: the trees of the pack make more than 1000000 directories of each other"
    assert await attack.verdict(*nested(8, times=2)) == TAKEN_IN


async def test_one_enormous_tree(attack: Attack) -> None:
    blob = bytes.fromhex(object_sha("blob", b"0"))
    content = b"".join(b"100644 %06d\0" % number + blob for number in range(20_000))
    tree, pack = object_sha("tree", content), sealed([entry(BLOB, b"0"), entry(TREE, content)])
    assert await attack.verdict(tree, pack, replace(BOUNDS, tree_bytes=MIB // 2)) == (
        "result_too_large: the trees of the pack are larger than they may be"
    )
    assert await attack.verdict(tree, pack, replace(BOUNDS, entries=10_000)) == (
        "result_too_large: the trees of the pack hold more than 10000 entries"
    )
    assert await attack.verdict(tree, pack) == TAKEN_IN


async def test_directories_of_the_base_many_times_over(attack: Attack) -> None:
    """What they hold is not in the pack, so only the whole tree tells."""
    directory = git_objects.git(attack.repository, "rev-parse", f"{attack.base}:d").decode().strip()
    content = b"".join(b"40000 %03d\0" % number + bytes.fromhex(directory) for number in range(600))
    tree, pack = object_sha("tree", content), sealed([entry(TREE, content)])
    verdict = await attack.verdict(tree, pack, replace(BOUNDS, entries=1_000))
    assert verdict == "result_too_large: the tree holds more than 1000 entries"


async def test_bases_that_a_thin_pack_makes_git_copy(attack: Attack) -> None:
    """One byte each brings a whole file of the base into the pack: no file git writes may be larger than its bound."""
    noise = [git_objects.write_blob(attack.repository, bytes((number,)) + noise_of(number)) for number in range(8)]
    files = {b"f%d" % number: sha for number, sha in enumerate(noise)}
    base_tree = attack.tree(*((b"100644", name, sha) for name, sha in files.items()))
    attack.base = git_objects.write_commit(attack.repository, base_tree, attack.base, message="noise")
    await attack.line.snapshot(attack.remote)
    size = 100_001
    short = [entry(REF_DELTA, copying(size, times=1)[:3] + b"\x04\x90\x04", base=sha) for sha in noise]
    made = [object_sha("blob", bytes((number,)) + noise_of(number)[:3]) for number in range(8)]
    tree, pack = with_file(made[0], *short)
    assert len(pack) < 1_000
    bounds = replace(BOUNDS, pack_bytes=100_000, workspace_bytes=100_000)
    assert await attack.verdict(tree, pack, bounds) == "result_too_large: the pack unfolds to a larger one than it may"
    assert await attack.verdict(tree, pack) == TAKEN_IN


def noise_of(seed: int) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(100_000)  # noqa: S311 - no secret


async def test_a_pack_that_takes_too_long_is_ended(attack: Attack) -> None:
    tree, pack = with_file(object_sha("blob", b"0"), entry(BLOB, b"0"))
    assert await attack.verdict(tree, pack, replace(BOUNDS, timeout_seconds=0.0)) == "pack_refused: the pack takes too long to read"


async def test_every_command_that_reads_the_work_has_limits(attack: Attack, tmp_path: Path) -> None:
    git = Watched(tmp_path / "watched")
    attack.line.git = git
    archive = (await attack.line.snapshot(attack.remote))[1]
    git.started.clear()
    (tmp_path / "box").mkdir()

    def edit(work: Path) -> None:
        (work / "a").write_text("other\n")

    base, tree, pack = sandbox(archive, tmp_path / "box", edit)
    assert base == attack.base
    taken = await attack.hand_in(tree, pack)
    await diffs.changes(git, taken, Protection(), Sizes())
    await diffs.write_patch(git, taken, tmp_path / "patch", Sizes())
    names = [name for name, _ in git.started]
    reading = git.started[names.index("index-pack") :]
    assert {"index-pack", "cat-file", "rev-list", "ls-tree", "diff-tree"} <= {name for name, _ in reading}
    for name, caps in reading:
        assert caps is not None, name
        assert caps.memory_bytes, name
        assert caps.timeout_seconds <= 300, name
        assert caps.output_bytes <= 128 * MIB, name
