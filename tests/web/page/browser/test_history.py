"""The history: kept, found, downloaded, deleted, and drawn again; by mouse and by keyboard."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin
from playwright.sync_api import Page, expect

from prediction import png
from prediction.recipe import KEYWORD
from tests.web.page.browser.driving import (
    Visit,
    draw,
    draw_and_keep,
    job,
    settings,
    thumbs,
    wait_until_ready,
)
from tests.web.page.browser.keeping import (
    focused,
    frame_times,
    prompts,
    search_times,
    seed_history,
)
from tests.web.page.browser.watching import Watch, assert_accessible, refused_with
from tests.web.running import WebProcess
from tests.web.stub_model_server import StubModelServer

A1111 = (
    "a cat\nNegative prompt: bad\nSteps: 25, Sampler: Euler a, CFG scale: 6.5, Seed: 1234, "
    "Size: 512x512, Model: v1-5"
)


def drop(page: Page, content: bytes, name: str = "picture.png") -> None:
    """As if somebody drew a file from the desktop onto the page."""
    transfer = page.evaluate_handle(
        """({ bytes, name }) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([new Uint8Array(bytes)], name));
          return transfer;
        }""",
        {"bytes": list(content), "name": name},
    )
    page.dispatch_event("#stage", "drop", {"dataTransfer": transfer})


def picture(text: str = "") -> bytes:
    file = io.BytesIO()
    texts = PngImagePlugin.PngInfo()
    if text:
        texts.add_text("parameters", text)
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=texts)
    return file.getvalue()


def test_pictures_are_there_after_a_reload_newest_first(page: Page) -> None:
    draw_and_keep(page, "the first", seed=1)
    draw_and_keep(page, "the second", seed=2, count=2)
    page.reload()
    expect(thumbs(page)).to_have_count(3)
    assert prompts(page) == ["the second", "the second", "the first"]
    thumbs(page).first.click()
    expect(page.locator("#viewer-facts")).to_contain_text("Seed3")


def test_a_search_finds_all_words_in_prompt_negative_prompt_and_seed(page: Page) -> None:
    seed_history(page, 12)
    for words, numbers in {
        "BLUE circle": [10, 7, 4, 1],
        "blurred": [10, 5, 0],
        "1007": [7],
        "circle red 1003": [3],
        " ": range(11, -1, -1),
    }.items():
        page.fill("#search", words)
        assert [int(text.split(":")[0].split()[1]) for text in prompts(page)] == list(numbers)
    page.fill("#search", "nothing like that")
    expect(page.locator("#history-note")).to_contain_text("No picture has all these words")
    expect(page.locator("#download-all")).to_be_disabled()


def test_one_is_downloaded_under_its_name_with_how_it_was_made(page: Page, tmp_path: Path) -> None:
    draw_and_keep(page, "a/red: circle", seed=7)
    thumbs(page).first.click()
    with page.expect_download() as download:
        page.click("#viewer-download")
    assert download.value.suggested_filename.endswith(" a red circle 7.png")
    download.value.save_as(tmp_path / "one.png")
    text = png.read_text(tmp_path / "one.png")
    assert json.loads(text[KEYWORD])["prompt"] == "a/red: circle"


def test_all_or_those_found_are_downloaded_in_one_zip_file(page: Page, tmp_path: Path) -> None:
    seed_history(page, 12)
    names = {}
    for words, count in {"": 12, "green": 4}.items():
        page.fill("#search", words)
        with page.expect_download() as download:
            page.click("#download-all")
        assert download.value.suggested_filename.startswith(f"{count} pictures 2")
        download.value.save_as(tmp_path / "all.zip")
        with zipfile.ZipFile(tmp_path / "all.zip") as archive:
            assert archive.testzip() is None
            names[words] = archive.namelist()
            for name in archive.namelist():
                png.check(archive.read(name))
        assert len(names[words]) == count
        expect(page.locator("#download-all")).to_be_enabled()
    assert all("a green circle" in name for name in names["green"])


def test_what_was_deleted_by_a_slip_comes_back(page: Page) -> None:
    seed_history(page, 3)
    thumbs(page).nth(1).focus()
    for count in (2, 1):
        page.keyboard.press("Delete")
        expect(thumbs(page)).to_have_count(count)
    for count in (2, 3):
        page.get_by_role("button", name="Undo").click()
        expect(thumbs(page)).to_have_count(count)
    page.reload()
    expect(thumbs(page)).to_have_count(3)
    assert prompts(page)[0].startswith("picture 2:")
    thumbs(page).first.click()
    expect(page.locator("#viewer-picture")).to_have_js_property("naturalWidth", 64)


def test_all_are_deleted_only_after_a_question_that_says_how_many(page: Page) -> None:
    seed_history(page, 5)
    page.click("#delete-all")
    expect(page.locator("#confirm")).to_contain_text("Delete 5 pictures from this browser?")
    assert_accessible(page)
    page.keyboard.press("Enter")  # the first button keeps them
    page.click("#delete-all")
    page.keyboard.press("Escape")
    expect(thumbs(page)).to_have_count(5)
    page.fill("#search", "red")
    page.click("#delete-all")
    page.click("#confirm-yes")
    expect(thumbs(page)).to_have_count(3)
    page.click("#delete-all")
    page.click("#confirm-yes")
    expect(thumbs(page)).to_have_count(0)
    page.reload()
    expect(page.locator("#history-note")).to_contain_text("Pictures that you draw are kept here")
    expect(thumbs(page)).to_have_count(0)


def test_a_picture_is_drawn_again_with_a_new_seed_or_with_its_own(page: Page) -> None:
    wait_until_ready(page)
    draw_and_keep(page, "a red circle", negative_prompt="grey", steps=3, guidance=5.5, seed=7)
    page.fill("#prompt", "something else")
    for button, seed in (("#viewer-again", ""), ("#viewer-seed", "7")):
        thumbs(page).first.click()
        page.click(button)
        expect(page.locator("#viewer")).to_be_hidden()
        shown = settings(page)
        assert (shown["prompt"], shown["negative-prompt"]) == ("a red circle", "grey")
        assert (shown["steps"], shown["guidance"], shown["seed"]) == ("3", "5.5", seed)


def test_the_copied_link_brings_the_settings_to_another_page(
    page: Page, visit: Visit, web: WebProcess
) -> None:
    draw_and_keep(page, "a red & blue circle #1", seed=7)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    thumbs(page).first.click()
    page.click("#viewer-link")
    expect(page.locator("#viewer-note")).to_contain_text("The link is copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{web.url}/#")
    shown = settings(visit(link))
    assert (shown["prompt"], shown["seed"]) == ("a red & blue circle #1", "7")


def test_without_a_clipboard_the_link_is_copied_or_shown(visit: Visit, web: WebProcess) -> None:
    page = visit(web.url, before="delete Navigator.prototype.clipboard")
    draw_and_keep(page, "a red circle", seed=7)
    thumbs(page).first.click()
    page.click("#viewer-link")
    expect(page.locator("#viewer-note")).to_contain_text("The link is copied.")
    expect(page.locator("#viewer-link")).to_be_focused()
    page.evaluate("document.execCommand = () => false")
    page.click("#viewer-link")
    expect(page.locator("#viewer-note")).to_contain_text("Copy this link: http://")


def test_the_viewer_is_used_by_the_keyboard_alone(page: Page) -> None:
    seed_history(page, 4)
    page.focus("#delete-all")
    page.keyboard.press("Tab")
    assert focused(page)["picture"].startswith("picture 3:")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#viewer-prompt")).to_contain_text("picture 2:")
    expect(page.locator("#viewer-note")).to_have_text("2 of 4")
    assert_accessible(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#viewer-prompt")).to_contain_text("picture 0:")
    expect(page.locator("#viewer-older")).to_be_disabled()
    page.keyboard.press("ArrowRight")  # there is no other
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Delete")
    expect(page.locator("#viewer-prompt")).to_contain_text("picture 0:")
    page.keyboard.press("Delete")
    expect(page.locator("#viewer-prompt")).to_contain_text("picture 2:")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    assert focused(page)["picture"].startswith("picture 2:")
    page.keyboard.press("End")
    assert focused(page)["picture"].startswith("picture 2:")
    page.keyboard.press("Home")
    assert focused(page)["picture"].startswith("picture 3:")


@pytest.mark.parametrize("leave", ["button", "Escape"])
def test_a_key_pressed_right_after_the_viewer_moves_the_focus_for_good(
    page: Page, leave: str
) -> None:
    seed_history(page, 3)
    thumbs(page).nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    page.evaluate(
        """async (leave) => {
          const press = (key) =>
            document.activeElement.dispatchEvent(
              new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }),
            );
          leave === "button" ? document.getElementById("viewer-close").click() : press(leave);
          press("Home");
          await new Promise((resolve) => setTimeout(resolve, 100)); // the dialog's own event
        }""",
        leave,
    )
    expect(page.locator("#viewer")).to_be_hidden()
    assert focused(page)["picture"].startswith("picture 2:")


def test_after_a_deletion_the_focus_is_on_the_neighbour_and_at_last_on_undo(page: Page) -> None:
    seed_history(page, 3)
    thumbs(page).nth(1).focus()
    page.keyboard.press("Delete")
    expect(thumbs(page)).to_have_count(2)
    assert focused(page)["picture"].startswith("picture 0:")
    page.keyboard.press("Delete")
    expect(thumbs(page)).to_have_count(1)
    assert focused(page)["picture"].startswith("picture 2:")
    page.keyboard.press("Delete")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(thumbs(page)).to_have_count(1)
    assert focused(page)["picture"].startswith("picture 2:")
    page.keyboard.press("Control+z")
    expect(thumbs(page)).to_have_count(2)


def test_the_only_picture_is_deleted_in_the_viewer_and_taken_back(page: Page) -> None:
    seed_history(page, 1)
    thumbs(page).first.click()
    page.click("#viewer-delete")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(thumbs(page)).to_have_count(1)


def test_closing_the_viewer_stops_no_drawing(page: Page, stub: StubModelServer) -> None:
    seed_history(page, 1)
    stub.behaviour.seconds_per_step = 0.3
    draw(page, "a slow one", steps=6)
    thumbs(page).first.click()
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(thumbs(page)).to_have_count(2)


def test_a_dropped_picture_of_the_service_gives_its_settings_back(
    page: Page, tmp_path: Path
) -> None:
    wait_until_ready(page)
    draw_and_keep(page, "größe (with [brackets]) 星", steps=3, guidance=5.5, seed=7)
    thumbs(page).first.click()
    with page.expect_download() as download:
        page.click("#viewer-download")
    page.click("#viewer-close")
    download.value.save_as(tmp_path / "one.png")
    page.fill("#prompt", "something else")
    drop(page, (tmp_path / "one.png").read_bytes())
    expect(page.locator("#prompt")).to_have_value("größe (with [brackets]) 星")
    shown = settings(page)
    assert (shown["steps"], shown["guidance"], shown["seed"]) == ("3", "5.5", "7")


def test_a_dropped_picture_of_a1111_gives_its_settings_and_says_what_is_not_used(
    page: Page,
) -> None:
    wait_until_ready(page)
    drop(page, picture(A1111))
    expect(page.locator("#prompt")).to_have_value("a cat")
    shown = settings(page)
    assert (shown["negative-prompt"], shown["steps"]) == ("bad", "25")
    assert (shown["guidance"], shown["seed"]) == ("6.5", "1234")
    expect(page.locator("#form-note")).to_contain_text("Not used here: Sampler, Model.")


@pytest.mark.parametrize(
    ("content", "words"),
    [(picture(), "does not say how it was made"), (b"some text", "is no PNG, JPEG or WebP")],
    ids=["no settings", "no picture"],
)
def test_a_dropped_file_without_settings_is_answered_in_words(
    page: Page, content: bytes, words: str
) -> None:
    page.fill("#prompt", "what was typed")
    drop(page, content)
    expect(page.locator("#form-note")).to_contain_text(words)
    expect(page.locator("#prompt")).to_have_value("what was typed")


def test_what_another_tab_draws_and_deletes_is_seen(
    page: Page, web: WebProcess, watch: Watch
) -> None:
    watch.allow(refused_with(404))  # the other tab may ask for the job before it is submitted
    other = page.context.new_page()
    other.goto(web.url)
    draw_and_keep(page, "a red circle")
    expect(thumbs(other)).to_have_count(1)
    thumbs(other).first.click()
    thumbs(page).first.focus()
    page.keyboard.press("Delete")
    expect(other.locator("#viewer-note")).to_contain_text("another tab deleted it")
    expect(thumbs(other)).to_have_count(0)


def test_a_full_storage_is_said_in_words_and_the_picture_is_still_there(
    page: Page, web: WebProcess
) -> None:
    expect(page.locator("#history-note")).to_contain_text("kept here")
    # Before anything is written: Chromium remembers for a while how much room there is.
    session = page.context.new_cdp_session(page)
    session.send("Storage.overrideQuotaForOrigin", {"origin": web.url, "quotaSize": 1})
    draw_and_keep(page, "one too many", seed=7)
    note = page.locator("#history-note")
    expect(note).to_contain_text("The browser's storage is full: download the pictures")
    expect(note).to_contain_text("only until you close the page")
    expect(thumbs(page)).to_have_count(1)
    thumbs(page).first.click()
    expect(page.locator("#viewer-picture")).to_have_js_property("naturalWidth", 64)


@pytest.mark.parametrize(
    "before",
    [
        "Object.defineProperty(window, 'indexedDB', { value: undefined })",
        "IDBFactory.prototype.open = () => { throw new DOMException('', 'SecurityError'); }",
    ],
    ids=["absent", "forbidden"],
)
def test_without_storage_the_page_draws_and_says_that_nothing_is_kept(
    visit: Visit, web: WebProcess, before: str
) -> None:
    page = visit(web.url, before=before)
    expect(page.locator("#history-note")).to_contain_text("This browser keeps nothing here")
    draw_and_keep(page, "a red circle", seed=7)
    expect(job(page).get_by_role("img", name="a red circle")).to_be_visible()
    expect(page.locator("#history-note")).to_contain_text("This browser keeps nothing here")
    thumbs(page).first.click()
    with page.expect_download():
        page.click("#viewer-download")


def test_three_hundred_pictures_are_searched_and_scrolled_smoothly(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    seed_history(page, 300, side=320)
    search = search_times(page, ["r", "re", "red", "red 1", "red 12", "", "blurred", ""])
    frames = frame_times(page)
    print(f"search: {search.median:.0f} ms, at most {search.most:.0f}")
    print(f"frames: {frames.median:.0f} ms, at most {frames.most:.0f}")
    # On a quiet machine 5 and 17 ms. What grew with the square of the pictures would take seconds.
    assert search.median < 100
    assert frames.median < 50
    # Only those that are near are loaded.
    assert page.locator("#pictures img[src]").count() < 100
    assert len(prompts(page)) == 300
