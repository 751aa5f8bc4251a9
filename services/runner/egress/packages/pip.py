"""pip: the simple index (PEP 503 as HTML, PEP 691 as JSON) and the files it links to.

An index is written anew from what was understood of it, with every link leading back to the door; a link to where nobody may go is left
out.
"""

import html
import json
import re
from html.parser import HTMLParser
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

from services.runner.egress.packages.digests import Digest
from services.runner.egress.packages.wanted import FILES, Answer, Asked, Shelf, Wanted
from services.runner.egress.vendors.vendor import Refused

JSON = "application/vnd.pypi.simple.v1+json"
_HTML = "text/html"
_ACCEPT = f"{JSON}, {_HTML};q=0.2"
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_TEXT = re.compile(r"[\x20-\x7e]{0,500}")


def wanted(asked: Asked, shelf: Shelf) -> Wanted:
    """Raises Refused."""
    if asked.segments[0] == FILES:
        return shelf.file(asked)
    match asked.segments:
        case ("simple", name) if _NAME.fullmatch(name):
            url = f"{shelf.address}/{re.sub(r'[-_.]+', '-', name).lower()}/"
            as_json = JSON in asked.accept
            return Wanted(url, accept=_ACCEPT, rewrite=lambda body, kind: _rewritten(body, kind, url, asked.base, shelf, as_json=as_json))
        case _:
            raise Refused("path_denied")


def _rewritten(body: bytes, kind: str, url: str, base: str, shelf: Shelf, *, as_json: bool) -> Answer:
    found = _of_json(body) if "json" in kind else _of_html(body)
    files = [entry for each in found if (entry := _entry(each, url, base, shelf)) is not None]
    name = url.rstrip("/").rpartition("/")[2]
    if as_json:
        document = {"meta": {"api-version": "1.0"}, "name": name, "files": files}
        return Answer(json.dumps(document).encode(), JSON)
    links = "".join(_anchor(entry) for entry in files)
    return Answer(f"<!DOCTYPE html>\n<html><head><title>{html.escape(name)}</title></head><body>\n{links}</body></html>\n".encode(), _HTML)


def _of_json(body: bytes) -> list[dict[str, Any]]:
    document: Any = json.loads(body)
    files: Any = cast("dict[str, Any]", document).get("files") if isinstance(document, dict) else None
    if not isinstance(files, list):
        raise ValueError("no list of files")  # noqa: TRY004 - what is no index is a bad value
    return [cast("dict[str, Any]", each) for each in cast("list[Any]", files) if isinstance(each, dict)]


def _of_html(body: bytes) -> list[dict[str, Any]]:
    page = _Page()
    page.feed(body.decode("utf-8"))
    return page.files


class _Page(HTMLParser):
    """The anchors of an index page, as PEP 691 would say them."""

    def __init__(self) -> None:
        super().__init__()
        self.files: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        href = given.get("href")
        if tag != "a" or not href:
            return
        address, _, fragment = href.partition("#")
        algorithm, _, digest = fragment.partition("=")
        yanked = given.get("data-yanked", False)
        self.files.append(
            {"url": address, "filename": urlsplit(address).path.rpartition("/")[2], "requires-python": given.get("data-requires-python")}
            | {"hashes": {algorithm: digest}, "yanked": True if yanked is None else yanked}
            | {"core-metadata": "data-core-metadata" in given or "data-dist-info-metadata" in given}
        )


def _entry(said: dict[str, Any], url: str, base: str, shelf: Shelf) -> dict[str, Any] | None:
    hashes = said.get("hashes")
    given: Any = cast("dict[str, Any]", hashes).get("sha256") if isinstance(hashes, dict) else None
    digest = Digest.hexadecimal("sha256", given)
    address = said.get("url")
    link = shelf.link(base, _joined(url, address), digest) if isinstance(address, str) else None
    if link is None:
        return None
    entry: dict[str, Any] = {"filename": urlsplit(link).path.rpartition("/")[2].replace("%2B", "+"), "url": link}
    entry["hashes"] = {} if digest is None else {"sha256": digest.value}
    requires, yanked, size = said.get("requires-python"), said.get("yanked"), said.get("size")
    if isinstance(requires, str) and _TEXT.fullmatch(requires):
        entry["requires-python"] = requires
    if yanked:
        entry["yanked"] = yanked if isinstance(yanked, str) and _TEXT.fullmatch(yanked) else True
    if isinstance(size, int):
        entry["size"] = size
    if said.get("core-metadata") or said.get("data-dist-info-metadata"):
        entry["core-metadata"] = True
    return entry


def _joined(url: str, address: str) -> str:
    """What is no address leads nowhere, and does not cost the rest of the index."""
    try:
        return urljoin(url, address)
    except ValueError:
        return ""


def _anchor(entry: dict[str, Any]) -> str:
    digest = entry["hashes"].get("sha256")
    href = entry["url"] + (f"#sha256={digest}" if digest else "")
    more = {"data-requires-python": entry.get("requires-python"), "data-core-metadata": "true" if entry.get("core-metadata") else None}
    yanked = entry.get("yanked")
    more["data-yanked"] = yanked if isinstance(yanked, str) else "" if yanked else None
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in more.items() if value is not None)
    return f'<a href="{html.escape(href)}"{attributes}>{html.escape(entry["filename"])}</a><br>\n'
