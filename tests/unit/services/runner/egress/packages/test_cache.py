from pathlib import Path

import pytest

from services.runner.egress.packages.cache import Cache, ContentWrong


def put(cache: Cache, key: str, content: bytes) -> None:
    arriving = cache.arriving(1_000, None)
    arriving.write(content)
    cache.keep(key, arriving)


def found(cache: Cache, key: str, expected: str | None = None) -> bytes | None:
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
    assert found(cache, "c", "0" * 64) is None


def test_what_was_changed_on_the_disk_is_not_there(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100)
    put(cache, "a", b"good")
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"evil")
    assert found(cache, "a") is None
    assert not list(tmp_path.iterdir())


def test_what_is_not_whole_leaves_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path, 100)
    wrong = cache.arriving(10, "0" * 64)
    wrong.write(b"x")
    with pytest.raises(ContentWrong):
        cache.keep("a", wrong)
    wrong.drop()
    large = cache.arriving(1, None)
    with pytest.raises(ContentWrong):
        large.write(b"xx")
    large.file.close()
    cache = Cache(tmp_path, 100)
    assert not list(tmp_path.iterdir()), "what a killed process left is gone"
