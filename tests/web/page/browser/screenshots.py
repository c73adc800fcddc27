"""Screenshots of the page for docs/, and the version of the page that they show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.web.page.browser.driving import Visit, draw_and_keep, job, wait_until_ready, write
from web.page.assemble import the_page

DOCS = Path(__file__).parents[4] / "docs"
VERSION_FILE = "page.sha256"
MAX_BYTES = 200_000
HISTORY = (
    "a small red circle on white",
    "two pink stars side by side on black",
    "a large yellow triangle on grey",
    "a cyan square at the top left on white",
    "a large orange circle on black",
    "a green star and a purple circle on white",
    "a small blue triangle at the bottom on grey",
    "a large pink square on black",
)
STAGE = "a large blue star on a black background"
SEED = 7


@dataclass(frozen=True)
class Screenshot:
    scheme: str
    width: int
    height: int

    @property
    def name(self) -> str:
        return f"page-{self.scheme}-{self.width}.png"


SCREENSHOTS = tuple(
    Screenshot(scheme, width, height)
    for scheme in ("light", "dark")
    for width, height in ((1280, 960), (390, 844))
)


def version() -> str:
    """Of the page as it is: comments in its sources do not count."""
    return hashlib.sha256(the_page().html).hexdigest()


def take_all(visit: Visit, url: str, folder: Path) -> Iterator[Path]:
    """Draw some pictures and write the screenshots, with their version, into the folder."""
    page = visit(url)
    wait_until_ready(page)
    for number, prompt in enumerate(HISTORY):
        draw_and_keep(page, prompt, seed=SEED + number)
    draw_and_keep(page, STAGE, seed=SEED)
    expect(job(page).get_by_role("img").first).to_be_visible()
    write(page, STAGE, seed="")
    for screenshot in SCREENSHOTS:
        yield _take(page, screenshot, folder)
    (folder / VERSION_FILE).write_text(f"{version()}\n", encoding="utf-8")


def _take(page: Page, screenshot: Screenshot, folder: Path) -> Path:
    page.emulate_media(color_scheme=screenshot.scheme)  # pyright: ignore[reportArgumentType]
    page.set_viewport_size({"width": screenshot.width, "height": screenshot.height})
    page.mouse.move(0, 0)  # over nothing that would light up
    page.evaluate("document.activeElement.blur(), scrollTo(0, 0)")
    page.wait_for_function("[...document.images].every(({ complete }) => complete)")
    path = folder / screenshot.name
    page.screenshot(path=path)
    return path
