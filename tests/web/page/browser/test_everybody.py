"""The page for everybody: without a mouse or without sight, on any screen, on any origin."""

from __future__ import annotations

import re
from typing import Any

import grpc
import pytest
from playwright.sync_api import Page, expect

from tests.web.page.browser.driving import (
    Visit,
    draw,
    draw_and_keep,
    job,
    thumbs,
    wait_until_ready,
)
from tests.web.page.browser.seeing import COLLECT_ANNOUNCEMENTS, announcements
from tests.web.page.browser.watching import Watch, assert_accessible
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow
WIDTHS = (390, 768, 1280, 1920)
SCHEMES = ("light", "dark")
FIRST_PAINT_LIMIT_MS = 1000
MAX_TRANSFERRED_BYTES = 150_000
LEAST_TARGET_PX = 24
FIRST_PAINT = """() => new Promise((resolve) => {
  new PerformanceObserver((list) => {
    for (const entry of list.getEntriesByName("first-contentful-paint")) {
      resolve(entry.startTime);
    }
  }).observe({ type: "paint", buffered: true });
})"""
INSECURE = """
delete Crypto.prototype.randomUUID;
Object.defineProperty(Crypto.prototype, "subtle", { get: () => undefined });
for (const name of ["clipboard", "locks", "storage", "serviceWorker"]) {
  Object.defineProperty(Navigator.prototype, name, { get: () => undefined });
}
Object.defineProperty(window, "isSecureContext", { get: () => false });
"""
NO_STORAGE = """
for (const name of ["localStorage", "indexedDB"]) {
  Object.defineProperty(window, name, {
    get() { throw new DOMException("The operation is insecure.", "SecurityError"); },
  });
}
"""
TOO_SMALL = """(least) => [...document.querySelectorAll(
  "button, input:not([type=file]), select, textarea, summary, a[href]:not(.skip)"
)]
  .filter((element) => element.checkVisibility({ visibilityProperty: true }))
  .map((element) => [element.id || element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
  .filter(([, { width, height }]) => width < least || height < least)
  .map(([name, { width, height }]) => `${name} ${width}x${height}`)"""
FOCUS = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  return {
    name: element.id || element.className || element.tagName,
    isOutlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    isSeen: element.checkVisibility({ visibilityProperty: true, opacityProperty: true }),
  };
}"""


def focused(page: Page) -> str:
    """What has the focus, which must be seen."""
    found = page.evaluate(FOCUS)
    assert found["isOutlined"] and found["isSeen"], found
    return found["name"]


def tab_to(page: Page, name: str, key: str = "Tab") -> list[str]:
    """Press Tab until the element has the focus; what was passed on the way."""
    passed: list[str] = []
    for _ in range(60):
        page.keyboard.press(key)
        passed.append(focused(page))
        if passed[-1] == name:
            return passed
    raise AssertionError(f"Tab does not reach {name}: {passed}")


def test_the_keyboard_alone_draws_keeps_and_deletes_a_picture(
    page: Page, stub: StubModelServer
) -> None:
    wait_until_ready(page)
    page.keyboard.press("Tab")
    assert focused(page) == "skip"
    page.keyboard.press("Enter")
    assert focused(page) == "prompt"
    page.keyboard.type("a red circle")
    passed = tab_to(page, "seed-dice")
    order = ["negative-prompt", "draw", "steps", "guidance", "count", "size", "seed", "seed-dice"]
    assert [name for name in passed if name in order] == order
    page.keyboard.press("Control+Enter")
    expect(thumbs(page)).to_have_count(1)
    tab_to(page, "thumb")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    assert page.evaluate("document.activeElement.closest('#viewer') !== null")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    assert focused(page) == "thumb"
    page.keyboard.press("Delete")
    expect(thumbs(page)).to_have_count(0)
    assert page.evaluate("document.activeElement.isConnected")
    page.reload()
    wait_until_ready(page)
    expect(thumbs(page)).to_have_count(0)


def test_the_viewer_goes_on_by_arrows_and_the_focus_comes_back(page: Page) -> None:
    for prompt in ("the first", "the second", "the third"):
        draw_and_keep(page, prompt)
    thumbs(page).nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#viewer-prompt")).to_have_text("the second")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-prompt")).to_have_text("the first")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#viewer-prompt")).to_have_text("the third")
    expect(page.locator("#viewer-picture")).to_have_attribute("alt", "the third")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.querySelector('img')?.alt") == "the third"


def test_tabs_are_changed_by_arrows(page: Page) -> None:
    page.focus("#tab-draw")
    page.keyboard.press("ArrowRight")
    assert focused(page) == "tab-service"
    expect(page.locator("#panel-service")).to_be_visible()
    expect(page.locator("#panel-draw")).to_be_hidden()
    page.keyboard.press("ArrowRight")
    assert focused(page) == "tab-draw"
    expect(page.locator("#panel-draw")).to_be_visible()


def test_what_happens_is_announced_politely_and_rarely(visit: Visit, slow_web: WebProcess) -> None:
    page = visit(slow_web.url, before=COLLECT_ANNOUNCEMENTS)
    wait_until_ready(page)
    draw(page, "a red circle", steps=40)
    expect(thumbs(page)).to_have_count(1)
    expect(page.locator("#live")).to_contain_text(re.compile("done|finished|ready", re.IGNORECASE))
    said = announcements(page)
    assert any("percent" in text for text in said)
    assert len(said) <= 8, said
    assert page.locator("[aria-live=polite]").count() == 1
    assert page.locator("[aria-live=assertive], [role=alert]").count() == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_in_any_state(scheme: Any, visit: Visit, slow_web: WebProcess) -> None:
    page = visit(slow_web.url, color_scheme=scheme)
    wait_until_ready(page)
    assert_accessible(page)  # empty
    draw(page, "")
    expect(page.locator("#prompt-error")).to_be_visible()
    assert_accessible(page)  # a wrong field
    draw(page, "a red circle", steps=50)
    expect(job(page)).to_contain_text(re.compile(r"Step [1-9]"))
    assert_accessible(page)  # drawing
    page.click("#stop")
    expect(job(page)).to_contain_text("Stopped")
    assert_accessible(page)  # stopped
    draw_and_keep(page, "a blue star", steps=3)
    assert_accessible(page)  # done
    thumbs(page).first.click()
    expect(page.locator("#viewer")).to_be_visible()
    assert_accessible(page)
    page.keyboard.press("Escape")
    page.click("#tab-service")
    expect(page.locator("#service-content .chart").first).to_be_visible()
    for details in page.locator("#service-content details").all():
        details.evaluate("(element) => { element.open = true; }")
    assert_accessible(page)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing_in_errors(
    scheme: Any, visit: Visit, web: WebProcess, stub: StubModelServer, watch: Watch
) -> None:
    watch.allow(r"Failed to load resource")
    stub.behaviour = Behaviour(fails={"advance": grpc.StatusCode.INTERNAL})
    page = visit(web.url, color_scheme=scheme)
    wait_until_ready(page)
    draw(page, "a red circle")
    expect(job(page).locator(".job-error")).to_be_visible()
    assert_accessible(page)
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    assert_accessible(page)


@pytest.fixture
def filled(visit: Visit, web: WebProcess, stub: StubModelServer) -> Page:
    """A page with something in every part."""
    page = visit(web.url)
    draw_and_keep(page, "a_word_without_any_space_" * 12, negative_prompt="none", steps=3)
    draw_and_keep(page, "a red circle", count=3)
    return page


def assert_fits(page: Page) -> None:
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(TOO_SMALL, LEAST_TARGET_PX) == []


def test_it_fits_every_screen_and_each_control_can_be_hit(filled: Page) -> None:
    for width in (320, *WIDTHS):
        filled.set_viewport_size({"width": width, "height": 800})
        assert_fits(filled)
        thumbs(filled).last.click()
        expect(filled.locator("#viewer")).to_be_visible()
        assert_fits(filled)
        filled.keyboard.press("Escape")
        filled.click("#tab-service")
        expect(filled.locator("#service-content .chart").first).to_be_visible()
        assert_fits(filled)
        filled.click("#tab-draw")


def test_at_200_percent_nothing_is_cut_off(visit: Visit, web: WebProcess) -> None:
    """As a browser zooms: the window has half as many of the page's pixels."""
    page = visit(web.url, viewport={"width": 640, "height": 450}, device_scale_factor=2)
    wait_until_ready(page)
    assert_fits(page)
    page.click("#tab-service")
    expect(page.locator("#service-content .chart").first).to_be_visible()
    assert_fits(page)


def test_text_of_twice_the_size_fits(visit: Visit, web: WebProcess) -> None:
    page = visit(web.url)
    wait_until_ready(page)
    page.evaluate("document.documentElement.style.fontSize = '200%'")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_nothing_moves_for_those_who_asked_for_that(visit: Visit, web: WebProcess) -> None:
    page = visit(web.url, reduced_motion="reduce")
    draw_and_keep(page, "a red circle")
    thumbs(page).first.click()
    assert page.evaluate("document.getAnimations().length") == 0
    still = """() => [...document.querySelectorAll("*")].every((element) => {
      const { transitionDuration, animationName } = getComputedStyle(element);
      return animationName === "none" && transitionDuration.split(", ").every((t) => t === "0s");
    })"""
    assert page.evaluate(still)


def test_forced_colours_leave_the_borders_and_the_state_visible(
    visit: Visit, web: WebProcess
) -> None:
    page = visit(web.url, forced_colors="active")
    wait_until_ready(page)
    seen = """(selector) => {
      const style = getComputedStyle(document.querySelector(selector));
      return style.borderTopWidth !== "0px" && style.borderTopColor !== style.backgroundColor;
    }"""
    for selector in ("#draw", "#stop", "#prompt", "#seed", "#size", "#search"):
        assert page.evaluate(seen, selector), selector
    assert (page.locator("#connection").text_content() or "").strip()  # not by colour alone
    selected = """() => {
      const of = (id) => getComputedStyle(document.getElementById(id));
      const look = ({ borderTopColor, textDecorationLine, fontWeight }) =>
        [borderTopColor, textDecorationLine, fontWeight].join();
      return look(of("tab-draw")) !== look(of("tab-service"));
    }"""
    assert page.evaluate(selected)


def test_the_first_paint_comes_within_a_second(visit: Visit, web: WebProcess) -> None:
    milliseconds = min(visit(web.url).evaluate(FIRST_PAINT) for _ in range(3))
    assert milliseconds < FIRST_PAINT_LIMIT_MS


def test_the_page_is_one_small_file(page: Page, web: WebProcess, watch: Watch) -> None:
    wait_until_ready(page)
    sizes: list[int] = page.evaluate(
        "performance.getEntriesByType('navigation').map(({ transferSize }) => transferSize)"
    )
    assert 0 < sum(sizes) < MAX_TRANSFERRED_BYTES
    files = {url for url in watch.requests if url.startswith("http") and "/api/v1/" not in url}
    assert files == {f"{web.url}/"}


def test_it_works_where_the_origin_is_not_secure(
    visit: Visit, web: WebProcess, stub: StubModelServer
) -> None:
    page = visit(web.url, before=INSECURE)
    assert page.evaluate("[crypto.randomUUID, crypto.subtle, navigator.clipboard]") == [None] * 3
    draw_and_keep(page, "a red circle")
    page.click("#share")
    expect(page.locator("#form-note")).to_be_visible()
    expect(page.locator("#form-note")).to_contain_text(re.compile("copied|link", re.IGNORECASE))
    page.reload()
    expect(thumbs(page)).to_have_count(1)


def test_it_draws_where_the_browser_keeps_nothing_and_says_so(
    visit: Visit, web: WebProcess, stub: StubModelServer
) -> None:
    page = visit(web.url, before=NO_STORAGE)
    draw_and_keep(page, "a red circle")
    expect(page.locator("#history-note")).to_contain_text("This browser keeps nothing here")


def test_without_scripts_it_says_what_is_missing(visit: Visit, web: WebProcess) -> None:
    page = visit(web.url, java_script_enabled=False)
    expect(page.locator("noscript p")).to_be_visible()
    assert "needs JavaScript" in page.locator("noscript p").inner_text()
