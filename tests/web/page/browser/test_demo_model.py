"""The page with the demo model behind the service instead of a stub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.devserver.processes import NAME, Server
from tests.web.page.browser.driving import Visit, draw, job, percent_in, thumbs
from tests.web.page.browser.screenshots import MAX_BYTES, SCREENSHOTS, take_all
from tests.web.page.browser.seeing import COLLECT_PREVIEWS, COLLECT_TITLES, previews, titles
from tests.web.running import WebProcess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(demo_model: Path) -> Iterator[str]:
    server = Server(demo_model).start()
    try:
        server.wait_until_ready()
        with WebProcess([server.grpc_address], [f"--model-name={NAME}"]) as web:
            yield web.wait_for_model().url
    finally:
        server.stop()


def test_a_picture_is_drawn_at_the_defaults_with_previews_on_the_way(
    visit: Visit, url: str
) -> None:
    page = visit(url, before=COLLECT_PREVIEWS + COLLECT_TITLES)
    draw(page, "a small red circle on white")
    expect(thumbs(page)).to_have_count(1)
    assert len(previews(page)) >= 2
    assert any(percent_in(title) is not None for title in titles(page))
    colour = """(image) => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      const middle = [canvas.width / 2, canvas.height / 2, 1, 1];
      return [...context.getImageData(...middle).data].slice(0, 3);
    }"""
    image = job(page).get_by_role("img", name=re.compile("^a small red circle"))
    red, green, blue = image.evaluate(colour)
    assert red > 150 and green < 100 and blue < 100


@pytest.mark.long  # run by `make screenshots`
def test_screenshots_are_made(visit: Visit, url: str, tmp_path: Path) -> None:
    """`make screenshots` has them written into docs/."""
    folder = Path(os.environ.get("SCREENSHOTS_FOLDER", tmp_path))
    files = list(take_all(visit, url, folder))
    assert [file.name for file in files] == [screenshot.name for screenshot in SCREENSHOTS]
    assert all(file.stat().st_size < MAX_BYTES for file in files)
