"""The page that the service answers with: one small file that asks no other host."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.web.running import WebProcess
from web.page.assemble import START, read_sources, the_page
from web.page.modules import module

MAX_BYTES = 150_000
MAX_LINES = 250
VOID = {"meta", "link", "input", "img", "br", "hr"}
OWN_URLS = {"http://www.w3.org"}
"""The name of SVG's namespace: nobody asks it for anything."""


class Reader(HTMLParser):
    """Every tag of a page, and whether each is closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


HTML = the_page().html.decode()
TAGS = Reader(HTML).tags
SOURCES = read_sources()


def test_it_is_small() -> None:
    assert len(the_page().html) < MAX_BYTES


def test_no_tag_loads_anything() -> None:
    for tag, attributes in TAGS:
        assert "src" not in attributes
        if tag == "link":
            assert (attributes["href"] or "").startswith("data:")


def test_no_other_host_is_in_it() -> None:
    assert set(re.findall(r"\w+://[^/\s\"'`<>]+", HTML)) <= OWN_URLS
    assert not re.search(r"@import|[\"'(]//\w", HTML)


def test_no_style_and_no_handler_stands_in_a_tag() -> None:
    for tag, attributes in TAGS:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag


def test_every_label_and_reference_finds_its_element() -> None:
    ids = [attributes["id"] for _, attributes in TAGS if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in TAGS:
        for name in ("for", "aria-controls", "aria-labelledby", "aria-describedby"):
            for target in (attributes.get(name) or "").split():
                assert target in ids, (tag, name, target)


@pytest.mark.parametrize("file", [name for name in SOURCES if name.endswith(".js")])
class TestModule:
    def test_its_file_keeps_to_the_rules(self, file: str) -> None:
        lines = SOURCES[file].splitlines()
        assert re.match(r"// \S.*\.$", lines[0])
        assert len(lines) <= MAX_LINES
        assert not [line for line in lines if len(line) > 100 or "\t" in line]

    def test_it_is_part_of_the_page(self, file: str) -> None:
        assert f"\n// {file}\n" in HTML

    def test_it_makes_no_markup_and_no_code_of_text(self, file: str) -> None:
        hostile = r"\.(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function\("
        hostile += r"|\.cssText|setAttribute\(\s*\"(style|on\w+)\""
        assert not re.search(hostile, SOURCES[file])

    def test_it_is_at_rest_until_it_is_called(self, file: str) -> None:
        """Only the start does anything by itself."""
        body = module(file, SOURCES[file]).body
        first_words = {line.split()[0] for line in body.splitlines() if re.match(r"\w", line)}
        if file != START:
            assert first_words <= {"function", "async", "class", "const", "let"}


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br", "gzip"),
        ("br;q=1.0, gzip;q=0.8", "gzip"),
        ("gzip;q=0", None),
        ("gzip; q=0.0", None),
        ("identity", None),
        ("x-gzip", None),
    ],
)
def test_it_is_packed_for_those_who_take_that(
    accepted: str, encoding: str | None, shared_web: WebProcess
) -> None:
    answer = shared_web.get("/", headers={"accept-encoding": accepted})
    assert answer.content == the_page().html
    assert answer.headers.get("content-encoding") == encoding
    assert "accept-encoding" in answer.headers["vary"]
    assert answer.headers["etag"] == the_page().etag


def test_it_is_kept_and_asked_for_again_each_time(shared_web: WebProcess) -> None:
    answer = shared_web.get("/")
    assert answer.content == the_page().html
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == the_page().policy
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["etag"] == the_page().etag


@pytest.mark.parametrize("given", ["{}", "W/{}", '"other", {}', "*"])
def test_a_browser_that_has_it_keeps_it_with_its_policy(given: str, shared_web: WebProcess) -> None:
    headers = {"if-none-match": given.format(the_page().etag)}
    answer = shared_web.get("/", headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    # Browsers replace the headers that they have kept by those of a 304.
    assert answer.headers["content-security-policy"] == the_page().policy
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["etag"] == the_page().etag


@pytest.mark.parametrize("given", ['"other"', "nonsense", "", ","])
def test_a_browser_that_has_another_gets_it(given: str, shared_web: WebProcess) -> None:
    answer = shared_web.get("/", headers={"if-none-match": given})
    assert (answer.status_code, answer.content) == (200, the_page().html)


def test_head_says_how_large_it_is(shared_web: WebProcess) -> None:
    answer = shared_web.request("HEAD", "/", headers={"accept-encoding": "identity"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(the_page().html))
    assert answer.headers["content-security-policy"] == the_page().policy


def test_it_is_the_same_whatever_the_model_is_and_whoever_asks(shared_web: WebProcess) -> None:
    answer = shared_web.get("/", headers={"host": "a<b>.localhost"})
    assert answer.content == the_page().html
