"""The system's Chromium, driven by Playwright, and where it is missing: why the tests skip."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = f"no Chromium ({', '.join(NAMES)}) on PATH; install it with: make setup-browser"
LIMIT_MS = 15_000
"""How long to wait for what should be there soon, on a busy machine."""
ARGUMENTS = (
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def found() -> str:
    """Its path. Without one the test skips; where the tests must run, it fails."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)


@contextmanager
def running() -> Iterator[Browser]:
    """Chromium, until the end of the block.

    Meanwhile an event loop runs in this thread: nothing else can run one here.
    """
    path = found()
    expect.set_options(timeout=LIMIT_MS)
    with sync_playwright() as playwright:
        # Without its sandbox: in a container it has not what that needs.
        browser = playwright.chromium.launch(
            executable_path=path, args=[*ARGUMENTS], chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            browser.close()
