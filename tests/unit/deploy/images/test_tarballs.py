"""A package is what was pinned, or nothing of it is used; npm itself is stood in for by a script that hands over a file."""

import io
import tarfile
from pathlib import Path

import pytest

from deploy.images import recipe, tarballs
from deploy.images.errors import StepFailed, ToolMissing

PACKAGE = recipe.Tarball("opencode-linux-x64", (("bin/opencode", "opencode"),))


def _npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes], *, pinned: bool = True) -> None:
    packed = tmp_path / "packed.tgz"
    with tarfile.open(packed, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    client = tmp_path / "client"
    client.mkdir()
    (client / "npm").write_text(f'#!/bin/sh\n[ "$1" = pack ] && [ "$3" = --pack-destination ] && cp {packed} "$4/"\n')
    (client / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(client), prepend=":")
    pin = {"version": "1.2.3", "integrity": tarballs.integrity(packed) if pinned else "sha512-x"}

    def pinned_so(package: str) -> dict[str, str]:
        assert package == PACKAGE.package
        return pin

    monkeypatch.setattr(recipe, "tarball_pin", pinned_so)


def test_a_member_is_taken_by_its_name_and_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(tmp_path, monkeypatch, {"package/bin/opencode": b"program", "../evil": b"x", "package/install.js": b"x"})
    context = tmp_path / "context"
    context.mkdir()
    tarballs.extract(PACKAGE, context)
    assert [path.name for path in context.iterdir()] == ["opencode"]
    assert (context / "opencode").read_bytes() == b"program"
    assert (context / "opencode").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "evil").exists()


def test_another_package_than_was_pinned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(tmp_path, monkeypatch, {"package/bin/opencode": b"other"}, pinned=False)
    with pytest.raises(StepFailed, match="not the package that was pinned"):
        tarballs.extract(PACKAGE, tmp_path / "context")


def test_a_package_without_the_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _npm(tmp_path, monkeypatch, {"package/readme": b""})
    with pytest.raises(StepFailed, match="holds no package/bin/opencode"):
        tarballs.extract(PACKAGE, tmp_path / "context")


def test_without_the_client_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(tool: str, advice: str) -> str:
        raise ToolMissing(f"{tool} is not installed: {advice}")

    monkeypatch.setattr("deploy.images.steps.need", missing)
    with pytest.raises(ToolMissing, match="apt-get install npm"):
        tarballs.extract(PACKAGE, tmp_path)
