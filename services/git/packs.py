"""What a sandbox's pack says of itself, judged before git unfolds it and after git has taken it apart. Pure but for reading the head.

git checks each object. Here stands what it does not bound: how many objects, how much they unfold to, how deep trees nest, how many
paths a few trees make of each other.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.git.errors import PackRefused, ResultTooLarge
from services.git.objects import Described

_MAGIC, _VERSIONS = b"PACK", (2, 3)  # gitformat-pack(5): magic, version, number of objects, four bytes each
_HEAD_BYTES = 12
_TREE_MODES = frozenset({b"40000", b"040000"})
_LINK_MODE = b"160000"
MAX_DEPTH = 1_024
"""Of nested trees: git before 2.43 (core.maxTreeDepth) recurses until its stack ends. A path can hold twice as many names at most."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What came: the objects the pack brought, and the bases git took from the repository for deltas that lacked theirs."""

    brought: frozenset[str]
    borrowed: frozenset[str]


def judge_head(pack: Path, max_objects: int) -> None:
    """Raise PackRefused for what is no pack, ResultTooLarge for one that announces too many objects."""
    with pack.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES or head[:4] != _MAGIC or int.from_bytes(head[4:8], "big") not in _VERSIONS:
        raise PackRefused("the pack does not begin as one")
    count = int.from_bytes(head[8:12], "big")
    if count > max_objects:
        raise ResultTooLarge(f"the pack announces {count} objects, more than {max_objects}")


def parted(index: bytes, pack_bytes: int, sha_bytes: int) -> Packed:
    """The lines of `git show-index`, parted at the end of what came: git appends borrowed bases where the pack's checksum stood."""
    end = pack_bytes - sha_bytes
    brought, borrowed = set[str](), set[str]()
    for line in index.decode("ascii").splitlines():
        offset, sha, *_ = line.split(" ")
        (brought if int(offset) < end else borrowed).add(sha)
    return Packed(frozenset(brought), frozenset(borrowed))


def judge_sizes(objects: Iterable[Described], *, unfolded_bytes: int, tree_bytes: int) -> list[str]:
    """The trees among the objects. Raise ResultTooLarge when all objects, or the trees, are more than they may be together."""
    listed = list(objects)
    if sum(each.size for each in listed) > unfolded_bytes:
        raise ResultTooLarge("the pack unfolds to more than it may")
    trees = [each for each in listed if each.kind == "tree"]
    if sum(each.size for each in trees) > tree_bytes:
        raise ResultTooLarge("the trees of the pack are larger than they may be")
    return [each.sha for each in trees]


def subtrees(content: bytes, sha_bytes: int) -> Iterator[tuple[bytes, str]]:
    """Mode and object of every entry of a stored tree. Raises PackRefused where it breaks off."""
    position = 0
    while position < len(content):
        zero = content.find(b"\0", position)
        end = zero + 1 + sha_bytes
        if zero < 0 or end > len(content):
            raise PackRefused("a tree of the pack breaks off")
        yield content[position:zero].partition(b" ")[0], content[zero + 1 : end].hex()
        position = end


def judge_nesting(contents: Mapping[str, bytes], sha_bytes: int, max_entries: int) -> None:
    """Raise ResultTooLarge when a tree of the pack nests too deep, or stands for more paths than a change may touch.

    A few trees that each hold the next one twice make 2^n paths. Trees that the pack does not bring count as one path.
    """
    entries = 0
    children: dict[str, list[str]] = {}
    for sha, content in contents.items():
        held = list(subtrees(content, sha_bytes))
        entries += len(held)
        if entries > max_entries:
            raise ResultTooLarge(f"the trees of the pack hold more than {max_entries} entries")
        children[sha] = [child for mode, child in held if mode in _TREE_MODES and child in contents]
    depth, paths = dict[str, int](), dict[str, int]()
    for sha in contents:
        for tree in _innermost_first(sha, children, depth):
            depth[tree] = 1 + max((depth[child] for child in children[tree]), default=0)
            paths[tree] = 1 + sum(paths[child] for child in children[tree])
            if depth[tree] > MAX_DEPTH:
                raise ResultTooLarge(f"the trees of the pack nest more than {MAX_DEPTH} deep")
            if paths[tree] > max_entries:
                raise ResultTooLarge(f"the trees of the pack make more than {max_entries} directories of each other")


def _innermost_first(root: str, children: Mapping[str, list[str]], done: Mapping[str, int]) -> Iterator[str]:
    """Every tree below `root` that is not done, each after all that it holds. Without recursion: the nesting is hostile.

    Trees hold each other by digest, so none can hold itself.
    """
    stack = [(root, False)]
    while stack:
        tree, entered = stack.pop()
        if tree in done:
            continue
        if entered:
            yield tree
        else:
            stack.append((tree, True))
            stack += [(child, False) for child in children[tree] if child not in done]
