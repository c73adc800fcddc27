"""That the screenshots in docs/ show the page as it is."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.web.page.browser.screenshots import (
    DOCS,
    MAX_BYTES,
    SCREENSHOTS,
    VERSION_FILE,
    Screenshot,
    version,
)

REMEDY = "run: make screenshots, look at docs/page-*.png, and commit them"


def test_they_show_the_page_as_it_is() -> None:
    file = DOCS / VERSION_FILE
    shown = file.read_text(encoding="utf-8").strip() if file.exists() else ""
    assert shown == version(), f"the page has changed since its screenshots were made; {REMEDY}"


@pytest.mark.parametrize("screenshot", SCREENSHOTS, ids=lambda screenshot: screenshot.name)
def test_each_is_there_in_its_size_and_is_no_large_file(screenshot: Screenshot) -> None:
    path = DOCS / screenshot.name
    assert path.exists(), f"docs/{screenshot.name} is missing; {REMEDY}"
    with Image.open(path) as image:
        assert image.size == (screenshot.width, screenshot.height)
    assert path.stat().st_size < MAX_BYTES
