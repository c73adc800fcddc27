"""The tab Service says what the service did, asks only while shown, and outlasts a restart."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.web.page.browser.watching import Watch
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow

PERCENTILES = ("p50", "p90", "p95", "p99")
TXT2IMG = "/sdapi/v1/txt2img"


@pytest.fixture
def web() -> Iterator[WebProcess]:
    """A service of the test's own: it has done nothing yet."""
    with (
        StubModelServer(Behaviour(seconds_per_step=0.01)) as stub,
        WebProcess([stub.endpoint]) as web,
    ):
        yield web.wait_for_model()


def _open(page: Page) -> None:
    page.get_by_role("tab", name="Service").click()
    expect(page.locator("#service-content")).to_contain_text("Fingerprint")


def _load(web: WebProcess) -> dict[str, Any]:
    """Three jobs that are drawn and a request that is refused; the figures after them."""
    for steps in (2, 3, 4):
        assert web.post(TXT2IMG, {"prompt": "a", "steps": steps}).status_code == 200
    assert web.post("/api/v1/jobs", {"prompt": "a", "steps": 1000}).status_code == 400
    return web.get("/api/v1/figures?minutes=15").json()


def _in_words(seconds: float) -> str:
    assert seconds < 0.995
    return f"{float(f'{seconds:.2f}'):g} s"


def test_its_numbers_are_those_of_the_figures(page: Page, web: WebProcess) -> None:
    found = _load(web)
    _open(page)
    table = page.get_by_role("table", name="Durations")
    for name in ("waiting", "drawing", "whole"):
        row = table.get_by_role("row", name=re.compile(f"^{name}", re.IGNORECASE))
        wanted = [_in_words(found["window"][name][each]) for each in PERCENTILES]
        assert row.get_by_role("cell").all_text_contents() == wanted
    expect(page.get_by_text("75 % of 4 requests answered · 100 % of 3 jobs done")).to_be_visible()
    chart = page.get_by_role("img", name="Requests for pictures")
    expect(chart).to_have_accessible_name(re.compile(r"\(2xx\) 3, .*\(4xx\) 1, .*\(5xx\) 0\."))


def test_behind_each_chart_is_a_table_of_the_same_numbers(page: Page, web: WebProcess) -> None:
    _load(web)
    _open(page)
    assert page.locator("svg[role=img]").count() == page.locator("details").count() == 3
    for summary in page.get_by_text("As a table").all():
        summary.click()
    rows = page.get_by_role("region", name="Requests for pictures, as a table").locator("tbody tr")
    expect(rows).to_have_count(60)
    cells = [[int(text) for text in row.split("\t")[1:]] for row in rows.all_inner_texts()]
    assert [sum(column) for column in zip(*cells, strict=True)] == [3, 1, 0]


def test_the_window_can_be_chosen(page: Page, web: WebProcess) -> None:
    _open(page)
    with page.expect_response(re.compile("figures.minutes=60$")):
        page.get_by_role("button", name="60 min").click()
    expect(page.get_by_role("button", pressed=True)).to_have_text("60 min")


@pytest.mark.long
def test_it_asks_only_while_it_is_shown_and_keeps_the_focus(page: Page, web: WebProcess) -> None:
    asked: list[float] = []

    def note(url: str) -> None:
        if "/figures" in url:
            asked.append(time.monotonic())

    page.on("request", lambda request: note(request.url))
    _open(page)
    servers = page.get_by_role("region", name="Model servers")
    servers.focus()
    with page.expect_response(re.compile("/figures")):
        pass
    expect(servers).to_be_focused()
    assert 4.5 < asked[-1] - asked[-2] < 8
    page.get_by_role("tab", name="Draw").click()
    before = len(asked)
    page.wait_for_timeout(5_500)
    assert len(asked) == before


def test_without_jobs_it_says_so_and_fits_a_phone(page: Page, web: WebProcess) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    _open(page)
    for words in (
        "Nobody asked for pictures in this time.",
        "No requests in this time.",
        "Nothing to do in this time.",
    ):
        expect(page.get_by_text(words)).to_be_visible()
    for summary in page.get_by_text("As a table").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.long
def test_it_outlasts_a_restart_of_the_service(page: Page, web: WebProcess, watch: Watch) -> None:
    watch.allow("ERR_CONNECTION_REFUSED")
    _load(web)
    _open(page)
    stub, options = web.model_servers, [*web.options, f"--port={web.port}"]
    web.stop()
    note = page.locator("#service-note")
    expect(note).to_contain_text("from before", timeout=10_000)
    with WebProcess(stub, options) as again:
        again.wait_for_model()
        expect(note).to_be_hidden(timeout=10_000)
        expect(page.get_by_text("Nobody asked for pictures")).to_be_visible()
