"""What people do on the page, in their words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.processes import wait_until

HOSTILE = "<img src=x onerror=\"document.title='mine'\"> </script><script>alert(1)</script> &'`${1}"
"""A prompt that would be markup, or code, where it is not only text."""
Visit = Callable[..., Page]
"""`visit(url, **options)` opens a page in a browser without any history.

options: Playwright's of a context, such as `viewport` and `color_scheme`; before: a script that
runs before those of the page.
"""


def wait_until_ready(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-state", "ready")


def write(page: Page, prompt: str, **fields: Any) -> None:
    """fields: by the ids of their elements, with `_` for `-`."""
    page.fill("#prompt", prompt)
    for name, value in fields.items():
        page.fill(f"#{name.replace('_', '-')}", str(value))


def draw(page: Page, prompt: str, **fields: Any) -> None:
    """Ask for a picture, without waiting for it."""
    write(page, prompt, **fields)
    page.click("#draw")


def job(page: Page) -> Locator:
    """The newest job on the stage."""
    return page.locator("#jobs .job").first


def thumbs(page: Page) -> Locator:
    return page.locator("#pictures button.thumb")


def draw_and_keep(page: Page, prompt: str, **fields: Any) -> None:
    """Draw, and wait until the pictures are in the history."""
    kept = thumbs(page).count()
    draw(page, prompt, **fields)
    expect(thumbs(page)).to_have_count(kept + int(fields.get("count", 1)))


def settings(page: Page) -> dict[str, str]:
    """What the form shows."""
    ids = ("prompt", "negative-prompt", "steps", "guidance", "count", "size", "seed")
    return {name: page.input_value(f"#{name}") for name in ids}


def wait_for_page(page: Page, what: str, script: str) -> None:
    """Until the script is true."""
    wait_until(lambda: bool(page.evaluate(script)), what)


def percent_in(title: str) -> int | None:
    found = re.match(r"(\d+) ?%", title)
    return int(found[1]) if found else None
