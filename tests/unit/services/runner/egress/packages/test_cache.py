import hashlib
from pathlib import Path

import pytest

from services.runner.egress.packages.cache import Cache, ContentWrong
from services.runner.egress.packages.digests import Digest


def put(cache: Cache, key: str, content: bytes) -> None:
    arriving = cache.arriving(1_000, None)
    arriving.write(content)
    cache.keep(key, arriving)


def found(cache: Cache, key: str, expected: Digest | None = None) -> bytes | None:
    file = cache.find(key, expected)
    if file is None:
        return None
    with file:
        return file.read()


def test_what_was_kept_is_found_until_others_need_its_room(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "kept", 100)
    for name in "abc":
        put(cache, name, name.encode() * 40)
    assert [found(cache, name) for name in "abc"] == [None, b"b" * 40, b"c" * 40]
    put(cache, "d", b"d" * 101)
    assert found(cache, "d") is None
    put(cache, "c", b"newer")
    assert found(Cache(tmp_path / "kept", 100), "c") == b"newer"
    assert found(cache, "c", Digest("sha256", "0" * 64)) is None
    assert found(cache, "c", Digest("sha512", hashlib.sha512(b"newer").hexdigest())) == b"newer"


def test_what_was_changed_on_the_disk_is_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100)
    put(cache, "a", b"good")
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"evil")
    assert found(cache, "a") is None
    assert not list(tmp_path.iterdir())


def test_what_is_not_whole_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100)
    wrong = cache.arriving(10, Digest("sha512", "0" * 128))
    wrong.write(b"x")
    with pytest.raises(ContentWrong):
        cache.keep("a", wrong)
    wrong.drop()
    large = cache.arriving(1, None)
    with pytest.raises(ContentWrong):
        large.write(b"xx")
    assert large.place is not None
    large.place[0].close()
    assert len(list(tmp_path.iterdir())) == 1
    cache = Cache(tmp_path, 100)
    assert not list(tmp_path.iterdir()), "what a killed process left is gone"


def test_what_is_on_its_way_has_a_bound_too_and_what_does_not_fit_is_checked_all_the_same(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100)
    first, second = (cache.arriving(1_000, Digest("sha256", hashlib.sha256(b"x" * 60).hexdigest())) for _ in range(2))
    for arriving in (first, second):
        arriving.write(b"x" * 60)
    assert len(list(tmp_path.iterdir())) == 1
    cache.keep("second", second)
    assert found(cache, "second") is None
    with pytest.raises(ContentWrong):
        second.write(b"x" * 1_000)
    cache.keep("first", first)
    put(cache, "third", b"y" * 100)
    assert (found(cache, "first"), found(cache, "third")) == (None, b"y" * 100)


def test_a_cache_of_no_size_writes_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 0)
    arriving = cache.arriving(100, None)
    arriving.write(b"x")
    assert not list(tmp_path.iterdir())
    cache.keep("a", arriving)
    assert found(cache, "a") is None
