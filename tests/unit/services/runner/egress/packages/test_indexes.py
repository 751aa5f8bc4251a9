"""What a registry says is written anew: nothing that was not understood passes, whatever it says."""

import json
from html.parser import HTMLParser

import pytest

from services.runner.egress.packages import cargo, npm, pip
from services.runner.egress.packages.digests import Digest
from services.runner.egress.packages.settings import PackageSettings
from services.runner.egress.packages.wanted import Answer, Asked, Shelf, Wanted, segments
from services.runner.egress.vendors.vendor import Refused
from shared.events.values import Ecosystem

BASE = "http://127.0.0.1:8090/packages"
DIGEST = "a" * 64
SETTINGS = PackageSettings(
    pip="https://index.example/simple/",
    npm="https://npm.example",
    cargo="https://crates.example/index",
    file_origins=("https://files.example",),
)


def shelf(ecosystem: Ecosystem) -> Shelf:
    return Shelf(ecosystem, SETTINGS, b"seal")


def asked(path: str, ecosystem: Ecosystem, accept: str = "") -> Asked:
    return Asked(segments(path.removesuffix("/")), path.endswith("/"), f"{BASE}/{ecosystem}", accept)


def rewritten(wanted: Wanted, body: bytes, kind: str) -> Answer:
    assert wanted.rewrite is not None
    return wanted.rewrite(body, kind)


PAGE = f"""<html><body><script>alert(1)</script>
<a href="https://files.example/aa/demo-1.0+local-py3-none-any.whl#sha256={DIGEST}" data-requires-python="&gt;=3.8" onclick="x">demo</a>
<a href="../../elsewhere/demo-0.9.tar.gz#md5=x" data-yanked="broken">old</a>
<a href="//169.254.169.254/demo-3.0.zip">meta</a><a href="javascript:alert(1)">js</a><a href="https://files.example/demo-4.0.exe">exe</a>
<a href="https://u:p@files.example/demo-5.0.zip">with a password</a><a href="https://files.example/demo-6.0.zip?x=1">with a query</a>
</body></html>"""


def test_a_page_of_links_becomes_links_to_the_door() -> None:
    wanted = pip.wanted(asked("simple/De_mo/", Ecosystem.PIP, pip.JSON), shelf(Ecosystem.PIP))
    assert wanted.url == "https://index.example/simple/de-mo/"
    files = json.loads(rewritten(wanted, PAGE.encode(), "text/html").body)["files"]
    assert [file["filename"] for file in files] == ["demo-1.0+local-py3-none-any.whl", "demo-0.9.tar.gz"]
    assert (files[0]["hashes"], files[0]["requires-python"], files[1]["yanked"]) == ({"sha256": DIGEST}, ">=3.8", "broken")
    for file, url in zip(files, ("https://files.example/aa/", "https://index.example/elsewhere/"), strict=True):
        path = file["url"].removeprefix(f"{BASE}/pip/")
        behind = pip.wanted(asked(path, Ecosystem.PIP), shelf(Ecosystem.PIP))
        assert (behind.url, behind.kept) == (url + file["filename"], True)
        for spoilt in (path.replace("demo", "evil"), path.replace("_files/", "_files/0"), path.replace(DIGEST, "b" * 64) + "x"):
            with pytest.raises(Refused):
                pip.wanted(asked(spoilt, Ecosystem.PIP), shelf(Ecosystem.PIP))


def test_the_same_as_a_page_holds_no_markup_of_the_registry() -> None:
    wanted = pip.wanted(asked("simple/demo/", Ecosystem.PIP), shelf(Ecosystem.PIP))
    answer = rewritten(wanted, PAGE.replace("broken", "&quot;&gt;&lt;script&gt;").encode(), "text/html")
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert all(value is None or value.startswith(BASE) for name, value in attrs if name == "href")

    Tags().feed(answer.body.decode())
    assert set(tags) <= {"html", "head", "title", "body", "a", "br"}


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"files": 1}', b"null", b"\xff"])
def test_what_is_no_index_is_none(body: bytes) -> None:
    wanted = pip.wanted(asked("simple/demo/", Ecosystem.PIP), shelf(Ecosystem.PIP))
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        rewritten(wanted, body, "application/json")


def test_a_packument_keeps_the_versions_that_can_be_got() -> None:
    def version(tarball: str) -> dict[str, object]:
        return {"dist": {"tarball": tarball, "integrity": "sha512-x"}, "scripts": {}}

    document = {
        "name": "@team/demo",
        "versions": {
            "1.0.0": version("https://npm.example/@team/demo/-/demo-1.0.0.tgz"),
            "2.0.0": version("https://files.example/demo-2.0.0.tgz"),
            "3.0.0": version("http://169.254.169.254/demo-3.0.0.tgz"),
            "4.0.0": {"dist": "x"},
        },
    }
    wanted = npm.wanted(asked("@team%2fdemo", Ecosystem.NPM), shelf(Ecosystem.NPM))
    assert wanted.url == "https://npm.example/@team%2fdemo"
    kept = json.loads(rewritten(wanted, json.dumps(document).encode(), "application/json").body)["versions"]
    assert kept["1.0.0"]["dist"] == {"tarball": f"{BASE}/npm/@team/demo/-/demo-1.0.0.tgz", "integrity": "sha512-x"}
    assert kept.keys() == {"1.0.0", "2.0.0"}
    other = kept["2.0.0"]["dist"]["tarball"].removeprefix(f"{BASE}/npm/")
    assert npm.wanted(asked(other, Ecosystem.NPM), shelf(Ecosystem.NPM)).url == "https://files.example/demo-2.0.0.tgz"


def test_crates_lie_where_the_registry_says_unless_nobody_may_go_there() -> None:
    def place(template: str) -> str:
        return cargo.place(json.dumps({"dl": template}).encode(), "Demo", "1.0.0+a", shelf(Ecosystem.CARGO))

    assert place("https://files.example/crates") == "https://files.example/crates/Demo/1.0.0+a/download"
    assert (
        place("https://files.example/{prefix}/{lowerprefix}/{crate}-{version}.crate")
        == "https://files.example/De/mo/de/mo/Demo-1.0.0+a.crate"
    )
    for elsewhere in ("https://evil.example/crates", "http://files.example/crates", "https://files.example:8443/crates"):
        with pytest.raises(Refused):
            place(elsewhere)


def test_a_tarball_that_is_asked_for_by_its_name_must_be_what_its_packument_says() -> None:
    wanted = npm.wanted(asked("@team/demo/-/demo-1.0.0.tgz", Ecosystem.NPM), shelf(Ecosystem.NPM))
    assert wanted.proof is not None
    assert wanted.proof.url == "https://npm.example/@team%2fdemo"

    def said(tarball: str, dist: dict[str, object]) -> Digest | None:
        assert wanted.proof is not None
        return wanted.proof.read(json.dumps({"versions": {"1.0.0": {"dist": dist | {"tarball": tarball}}, "2.0.0": None}}).encode())

    usual = "https://npm.example/@team/demo/-/demo-1.0.0.tgz"
    assert said(usual, {"shasum": "a" * 40, "integrity": "sha512-nothing"}) == Digest("sha1", "a" * 40)
    assert said(usual, {}) is None
    assert said("https://npm.example/@team/demo/-/demo-2.0.0.tgz", {"shasum": "a" * 40}) is None


def test_a_crate_must_be_what_the_index_says() -> None:
    wanted = cargo.wanted(asked("crates/Demo/1.0.0/download", Ecosystem.CARGO), shelf(Ecosystem.CARGO))
    assert wanted.proof is not None
    assert wanted.proof.url == "https://crates.example/index/de/mo/demo"
    lines = [json.dumps({"name": "demo", "vers": version, "cksum": digit * 64}) for version, digit in (("1.0.0-a", "a"), ("1.0.0", "b"))]
    assert wanted.proof.read("\n".join(lines).encode()) == Digest("sha256", "b" * 64)
    assert wanted.proof.read(lines[0].encode()) is None
    with pytest.raises(ValueError):  # noqa: PT011 - no JSON
        wanted.proof.read(b"1.0.0")


@pytest.mark.parametrize(
    "address", ["https://[", "https://files.example:99999/a.zip", "https://files.example@evil.example/a.zip", "//x\\@files.example/a.zip"]
)
def test_what_is_no_address_costs_its_own_entry_alone(address: str) -> None:
    good = "https://files.example/demo-1.0.zip"
    index = {"files": [{"url": url, "filename": "x"} for url in (address, good)]}
    wanted = pip.wanted(asked("simple/demo/", Ecosystem.PIP, pip.JSON), shelf(Ecosystem.PIP))
    files = json.loads(rewritten(wanted, json.dumps(index).encode(), pip.JSON).body)["files"]
    assert [file["filename"] for file in files] == ["demo-1.0.zip"]
