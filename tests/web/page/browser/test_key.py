"""The page of a service that asks for a key."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.processes import wait_until
from tests.web.keys import ALICE, WRONG, write
from tests.web.page.browser.driving import Visit, draw_and_keep, thumbs, wait_until_ready
from tests.web.page.browser.watching import Watch, assert_accessible, refused_with
from tests.web.running import WebProcess
from tests.web.stub_model_server import StubModelServer

pytestmark = pytest.mark.slow

DIALOG = "#key-dialog"


@pytest.fixture(scope="module")
def url(module_stub: StubModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    keys = write(tmp_path_factory.mktemp("keys") / "keys.json", ("alice", ALICE))
    with WebProcess([module_stub.endpoint], [f"--keys-file={keys}"]) as web:
        wait_until(lambda: web.get("/ready").status_code == 200, "the model")
        yield web.url


@pytest.fixture(autouse=True)
def refusals(watch: Watch) -> None:
    watch.allow(refused_with(401))


def give(page: Page, key: str, *, remember: bool = False) -> None:
    page.fill("#key", key)
    page.set_checked("#key-remember", remember)
    page.keyboard.press("Enter")


def kept(page: Page, storage: str) -> str:
    return page.evaluate(f"JSON.stringify({storage})")


def test_the_key_is_asked_for_once_and_is_in_no_address(
    visit: Visit, url: str, watch: Watch
) -> None:
    page = visit(url)
    expect(page.locator(DIALOG)).to_be_visible()
    expect(page.locator("#key")).to_be_focused()
    expect(page.locator("#key")).to_have_attribute("type", "password")
    assert_accessible(page)
    give(page, f" {ALICE} ")
    wait_until_ready(page)
    draw_and_keep(page, "a red circle")
    expect(page.locator(DIALOG)).to_be_hidden()
    page.reload()
    wait_until_ready(page)
    expect(thumbs(page)).to_have_count(1)
    expect(page.locator(DIALOG)).to_be_hidden()
    assert ALICE not in kept(page, "localStorage")
    assert not [address for address in watch.requests if ALICE in address]
    assert ALICE not in page.content()
    # Another tab is not let in by this one's key.
    other = page.context.new_page()
    other.goto(url)
    expect(other.locator(DIALOG)).to_be_visible()


def test_a_remembered_key_is_there_in_another_tab_until_it_is_forgotten(
    visit: Visit, url: str
) -> None:
    page = visit(url)
    give(page, ALICE, remember=True)
    wait_until_ready(page)
    other = page.context.new_page()
    other.goto(url)
    wait_until_ready(other)
    expect(other.locator(DIALOG)).to_be_hidden()
    other.click("#key-change")
    give(other, "")
    assert ALICE not in kept(other, "localStorage") + kept(other, "sessionStorage")


def test_a_wrong_key_is_asked_for_again_in_words(visit: Visit, url: str) -> None:
    page = visit(url)
    give(page, "two words")
    expect(page.locator("#key-error")).to_contain_text("no spaces")
    give(page, WRONG)
    expect(page.locator("#key-text")).to_contain_text("does not know this key")
    expect(page.locator("#key")).to_have_value("")
    give(page, ALICE)
    wait_until_ready(page)


def test_whoever_has_no_key_may_look_at_the_page_and_give_it_later(visit: Visit, url: str) -> None:
    page = visit(url)
    expect(page.locator(DIALOG)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(DIALOG)).to_be_hidden()
    page.wait_for_timeout(2500)  # longer than between two looks at the service
    expect(page.locator(DIALOG)).to_be_hidden()
    page.click("#key-change")
    give(page, ALICE)
    wait_until_ready(page)
