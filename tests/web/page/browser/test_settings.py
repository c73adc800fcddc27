"""What is typed: checked, counted, kept, and taken from links and from pictures."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image, PngImagePlugin
from playwright.sync_api import Page, expect

from tests.processes import wait_until
from tests.web.page.browser.driving import HOSTILE, Visit, draw, settings, wait_until_ready, write
from tests.web.running import WebProcess
from tests.web.stub_model_server import StubModelServer

A1111 = (
    "a lighthouse at dusk\nNegative prompt: fog\n"
    "Steps: 7, Sampler: Euler a, CFG scale: 5.5, Seed: 4242, Size: 64x64, Model hash: abc"
)


def test_a_prompt_that_is_too_long_is_refused_at_its_field(
    page: Page, stub: StubModelServer
) -> None:
    draw(page, "é" * 4097)
    expect(page.locator("#prompt-error")).to_contain_text("8194 bytes, and the model takes 8192")
    expect(page.locator("#prompt")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#prompt")).to_be_focused()


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", "0"), ("steps", "51"), ("guidance", "0,5"), ("count", "999"), ("seed", "-2")],
)
def test_a_wrong_number_is_said_at_its_field_and_nothing_is_drawn(
    field: str, value: str, page: Page, stub: StubModelServer
) -> None:
    wait_until_ready(page)
    begun = stub.calls["begin"]
    write(page, "a red circle")
    # As somebody types it: a field for numbers takes no comma from Playwright.
    page.locator(f"#{field}").evaluate("(input) => { input.value = ''; input.focus(); }")
    page.keyboard.type(value)
    page.keyboard.press("Control+Enter")
    expect(page.locator(f"#{field}-error")).to_be_visible()
    expect(page.locator(f"#{field}-error")).to_contain_text(re.compile(r"number (from|of)"))
    expect(page.locator("#jobs .job")).to_have_count(0)
    assert stub.calls["begin"] == begun


def picture_of(web: WebProcess, identifier: str, **body: object) -> bytes:
    """The file of a picture that was drawn without the page."""
    web.post("/api/v1/jobs", {"id": identifier, **body})
    wait_until(
        lambda: web.get(f"/api/v1/jobs/{identifier}").json()["state"] == "done", "the picture"
    )
    return web.get(f"/api/v1/jobs/{identifier}/pictures/0").content


def test_a_picture_of_the_service_gives_its_settings_back(page: Page, web: WebProcess) -> None:
    made = {"prompt": 'a "red" circle, 🔴', "negativePrompt": "blue", "steps": 9, "seed": 77}
    file = picture_of(web, "restored", guidanceScale=3.5, **made)
    page.set_input_files(
        "#restore-file", {"name": "drawn.png", "mimeType": "image/png", "buffer": file}
    )
    expect(page.locator("#prompt")).to_have_value(made["prompt"])
    assert settings(page) | {"size": ""} == {
        "prompt": made["prompt"],
        "negative-prompt": "blue",
        "steps": "9",
        "guidance": "3.5",
        "count": "1",
        "size": "",
        "seed": "77",
    }


DROP = """({ name, content }) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  const target = document.querySelector("#stage");
  for (const type of ["dragenter", "dragover", "drop"]) {
    const options = { bubbles: true, cancelable: true, dataTransfer: transfer };
    target.dispatchEvent(new DragEvent(type, options));
  }
}"""


def dropped(page: Page, content: bytes, name: str = "picture.png") -> None:
    page.evaluate(DROP, {"name": name, "content": base64.b64encode(content).decode()})


def test_a_picture_of_a1111_dropped_on_the_page_gives_its_settings(page: Page) -> None:
    dropped(page, png_with_infotext(A1111))
    expect(page.locator("#prompt")).to_have_value("a lighthouse at dusk")
    found = settings(page)
    assert (found["negative-prompt"], found["steps"]) == ("fog", "7")
    assert (found["guidance"], found["seed"]) == ("5.5", "4242")
    expect(page.locator("#form-note")).to_contain_text("Sampler")


def test_a_file_without_settings_is_said_in_words(page: Page) -> None:
    write(page, "what I wrote")
    dropped(page, png_with_infotext(""))
    expect(page.locator("#form-note")).to_contain_text("does not say how it was made")
    dropped(page, b"plain text", "notes.txt")
    expect(page.locator("#form-note")).to_contain_text("no PNG, JPEG or WebP")
    assert settings(page)["prompt"] == "what I wrote"


def png_with_infotext(text: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    if text:
        info.add_text("parameters", text)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def test_a_link_brings_its_settings_once(visit: Visit, web: WebProcess, stub: object) -> None:
    page = visit(f"{web.url}/#prompt=a+blue+star%0A%F0%9F%94%B5&steps=5&seed=12&guidanceScale=2.5")
    expect(page.locator("#prompt")).to_have_value("a blue star\n🔵")
    found = settings(page)
    assert (found["steps"], found["seed"], found["guidance"]) == ("5", "12", "2.5")
    page.fill("#prompt", "my own")
    page.reload()
    expect(page.locator("#prompt")).to_have_value("my own")


def test_a_link_that_the_page_made_brings_the_same_settings(
    visit: Visit, web: WebProcess, stub: object
) -> None:
    options = {"permissions": ["clipboard-read", "clipboard-write"]}
    page = visit(web.url, **options)
    wait_until_ready(page)
    write(page, HOSTILE, negative_prompt="a & b = c", steps=6, seed=5)
    before = settings(page)
    page.click("#share")
    expect(page.locator("#form-note")).to_contain_text(re.compile("copied", re.IGNORECASE))
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{web.url}/#prompt=")
    other = visit(link)
    wait_until_ready(other)
    assert settings(other) == before


def test_what_was_typed_last_is_there_tomorrow(page: Page) -> None:
    wait_until_ready(page)
    write(page, "a red circle", negative_prompt="blue", steps=9, guidance=3, count=2, seed=5)
    before = settings(page)
    page.wait_for_timeout(500)
    page.reload()
    expect(page.locator("#prompt")).to_have_value("a red circle")
    wait_until_ready(page)
    assert settings(page) == before
    page.click("#reset")
    expect(page.locator("#steps")).not_to_have_value("9")


def test_the_count_of_tokens_follows_what_is_typed(page: Page) -> None:
    wait_until_ready(page)
    page.fill("#prompt", "a red circle")
    expect(page.locator("#prompt-tokens")).to_contain_text(re.compile(r"^3\s*(/|of)\s*75"))
