"""Drawing on the page: a picture comes, is stopped, survives a reload, and is drawn again."""

from __future__ import annotations

import base64
import re

import pytest
from playwright.sync_api import Page, expect

from tests.processes import wait_until
from tests.web.page.browser.driving import (
    HOSTILE,
    Visit,
    draw,
    draw_and_keep,
    job,
    percent_in,
    settings,
    thumbs,
    wait_until_ready,
)
from tests.web.page.browser.seeing import COLLECT_PREVIEWS, COLLECT_TITLES, previews, titles
from tests.web.page.browser.watching import Watch, refused_with
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow


def shown(page: Page) -> bytes:
    """The pixels of the newest job's picture, as the page has it."""
    image = job(page).locator("img").first
    url = image.evaluate(
        """async (image) => {
          await image.decode();
          const canvas = document.createElement("canvas");
          canvas.width = image.naturalWidth;
          canvas.height = image.naturalHeight;
          canvas.getContext("2d").drawImage(image, 0, 0);
          return canvas.toDataURL();
        }"""
    )
    return base64.b64decode(url.partition(",")[2])


def test_a_picture_comes_and_is_kept(page: Page, stub: StubModelServer) -> None:
    draw_and_keep(page, "a red circle", seed=7)
    expect(job(page).get_by_role("img", name="a red circle")).to_be_visible()
    expect(thumbs(page).first.get_by_role("img")).to_have_attribute("alt", "a red circle")
    page.reload()
    expect(thumbs(page)).to_have_count(1)
    assert settings(page)["prompt"] == "a red circle"
    assert stub.requests[-1].seed == 7


def test_while_it_is_drawn_there_are_previews_and_how_long_it_takes(
    visit: Visit, slow_web: WebProcess
) -> None:
    page = visit(slow_web.url, before=COLLECT_PREVIEWS + COLLECT_TITLES)
    draw(page, "a red circle", steps=50)
    expect(job(page)).to_contain_text(re.compile(r"Step \d+ of 50"))
    expect(job(page)).to_contain_text(re.compile(r"about \d+ s left"))
    expect(job(page).get_by_role("progressbar")).to_be_visible()
    expect(thumbs(page)).to_have_count(1)
    assert len(previews(page)) >= 2
    percents = [percent for title in titles(page) if (percent := percent_in(title)) is not None]
    assert len(set(percents)) >= 3
    assert percents == sorted(percents)
    assert percent_in(page.title()) is None


def test_stop_ends_it_on_the_model_server_too(slow_page: Page, slow_stub: StubModelServer) -> None:
    draw(slow_page, "a red circle", steps=50)
    expect(job(slow_page)).to_contain_text(re.compile(r"Step [1-9]"))
    slow_page.click("#stop")
    expect(job(slow_page)).to_contain_text("Stopped")
    expect(slow_page.locator("#stop")).to_be_disabled()
    wait_until(lambda: slow_stub.in_flight == 0, "the model server to be free")
    drawn = sum(slow_stub.chunks)
    slow_page.wait_for_timeout(400)
    assert sum(slow_stub.chunks) == drawn


def test_what_was_stopped_is_drawn_after_all(slow_page: Page, slow_stub: StubModelServer) -> None:
    draw(slow_page, "a red circle", steps=50)
    expect(job(slow_page)).to_contain_text(re.compile(r"Step [1-9]"))
    slow_page.keyboard.press("Escape")
    expect(job(slow_page)).to_contain_text("Stopped")
    job(slow_page).get_by_role("button", name=re.compile("again", re.IGNORECASE)).click()
    expect(thumbs(slow_page)).to_have_count(1)


def test_a_reload_comes_back_to_the_picture(slow_page: Page, slow_stub: StubModelServer) -> None:
    draw(slow_page, "a red circle", steps=50)
    expect(job(slow_page)).to_contain_text(re.compile(r"Step [1-9]"))
    begun = slow_stub.calls["begin"]
    slow_page.reload()
    expect(job(slow_page)).to_contain_text(re.compile(r"Step \d+ of 50"))
    expect(thumbs(slow_page)).to_have_count(1)
    assert slow_stub.calls["begin"] == begun  # it was drawn once


def test_a_picture_that_was_finished_while_the_page_was_closed_is_there(
    slow_page: Page, slow_web: WebProcess, slow_stub: StubModelServer
) -> None:
    draw(slow_page, "a red circle", steps=20)
    expect(job(slow_page)).to_contain_text(re.compile(r"Step [1-9]"))
    finished = slow_stub.calls["finish"]
    slow_page.goto("about:blank")
    wait_until(lambda: slow_stub.calls["finish"] > finished, "the picture")
    slow_page.goto(slow_web.url)
    expect(thumbs(slow_page)).to_have_count(1)


def test_several_pictures_come_one_by_one_with_consecutive_seeds(
    slow_page: Page, slow_stub: StubModelServer
) -> None:
    draw(slow_page, "a red circle", steps=10, count=3, seed=100)
    expect(thumbs(slow_page)).to_have_count(1)  # before the others are done
    expect(thumbs(slow_page)).to_have_count(3)
    expect(job(slow_page).get_by_role("img", name=re.compile("^a red circle"))).to_have_count(3)
    assert [request.seed for request in slow_stub.requests[-3:]] == [100, 101, 102]


def test_without_a_seed_each_picture_is_another_and_the_seed_can_be_used_again(
    page: Page, stub: StubModelServer
) -> None:
    draw_and_keep(page, "a red circle")
    first = shown(page)
    draw_and_keep(page, "a red circle")
    seed = stub.requests[-1].seed
    assert shown(page) != first
    second = shown(page)
    page.click("#seed-last")
    assert settings(page)["seed"] == str(seed)
    page.click("#draw")
    expect(thumbs(page)).to_have_count(3)
    assert shown(page) == second
    page.click("#seed-dice")
    assert settings(page)["seed"] == ""


def test_while_one_is_drawn_the_next_waits_with_its_place(
    slow_page: Page, slow_stub: StubModelServer
) -> None:
    draw(slow_page, "the first", steps=20)
    expect(job(slow_page)).to_contain_text(re.compile(r"Step [1-9]"))
    draw(slow_page, "the second", steps=4)
    expect(job(slow_page)).to_contain_text("the second")
    expect(job(slow_page)).to_contain_text(re.compile("next|queue", re.IGNORECASE))
    expect(thumbs(slow_page)).to_have_count(2)
    assert [request.prompt for request in slow_stub.requests[-2:]] == ["the first", "the second"]


def test_a_full_queue_is_said_in_words_and_waited_for(visit: Visit, watch: Watch) -> None:
    watch.allow(refused_with(503))
    busy = Behaviour(seconds_per_step=0.1)
    with StubModelServer(busy) as stub, WebProcess([stub.endpoint], ["--queue=1"]) as web:
        page = visit(web.wait_for_model().url)
        wait_until_ready(page)
        for prompt in ("the first", "the second", "the third"):
            draw(page, prompt, steps=15)
            expect(job(page)).to_contain_text(prompt)
            expect(job(page)).not_to_contain_text("Sending")
        expect(job(page)).to_contain_text("The queue is full (1 job waits)")
        expect(job(page)).to_contain_text(re.compile(r"Trying again in \d+ s"))
        busy.seconds_per_step = 0.0
        expect(thumbs(page)).to_have_count(3)
        page.close()  # before its service, which it would miss


@pytest.mark.parametrize(
    "prompt",
    [
        HOSTILE,
        'it\'s "quoted", 日本語, 🔴🟢 👩‍👩‍👧, e\u0301',
        "two\nlines, \ttab",
        "word " * 1638,
    ],
    ids=["markup", "emoji", "lines", "8 kB"],
)
def test_a_prompt_is_text_whatever_is_in_it(prompt: str, page: Page, stub: StubModelServer) -> None:
    draw_and_keep(page, prompt)
    assert stub.requests[-1].prompt == prompt
    image = thumbs(page).first.get_by_role("img")
    assert image.get_attribute("alt") == prompt
    thumbs(page).first.click()
    viewer = page.locator("#viewer")
    expect(viewer).to_be_visible()
    assert (viewer.locator("#viewer-prompt").text_content() or "") == prompt
    assert page.locator("main img[src='x'], dialog img[src='x'], main script").count() == 0
    assert "mine" not in page.title()


def test_two_tabs_show_one_history_and_draw_nothing_twice(
    slow_page: Page, slow_web: WebProcess, slow_stub: StubModelServer
) -> None:
    other = slow_page.context.new_page()
    other.goto(slow_web.url)
    begun = slow_stub.calls["begin"]
    draw(slow_page, "a red circle", steps=10)
    expect(thumbs(slow_page)).to_have_count(1)
    expect(thumbs(other)).to_have_count(1)
    draw(other, "a blue star", steps=10)
    expect(thumbs(other)).to_have_count(2)
    expect(thumbs(slow_page)).to_have_count(2)
    assert slow_stub.calls["begin"] == begun + 2
