"""What no page may do: complain in the console, fail, ask another host, or shut somebody out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page

WCAG_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOCAL_SCHEMES = {"data", "blob", "about"}


@dataclass
class Watch:
    """Collects what is wrong with the pages of a context, for the end of the test.

    requests: every address that was asked for. allowed: patterns of complaints that a test
    provokes, such as Chromium's own line about a connection that was refused.
    """

    faults: list[str] = field(default_factory=list[str])
    requests: list[str] = field(default_factory=list[str])
    allowed: list[str] = field(default_factory=list[str])

    def over(self, context: BrowserContext, origin: str) -> None:
        host = urlsplit(origin).netloc

        def note_request(url: str) -> None:
            self.requests.append(url)
            parts = urlsplit(url)
            if parts.scheme not in LOCAL_SCHEMES and parts.netloc != host:
                self.faults.append(f"asked another host: {url}")

        context.on("request", lambda request: note_request(request.url))
        context.on("weberror", lambda error: self.faults.append(f"failed: {error.error}"))
        context.on(
            "console",
            lambda message: (
                self.faults.append(
                    f"console {message.type}: {message.text} ({message.location.get('url')})"
                )
                if message.type in ("error", "warning")
                else None
            ),
        )

    def allow(self, *patterns: str) -> None:
        self.allowed.extend(patterns)

    def check(self) -> None:
        """That nothing was wrong but what was allowed."""
        pattern = "|".join(self.allowed)
        found = [fault for fault in self.faults if not (pattern and re.search(pattern, fault))]
        assert not found, "\n".join(found)


LOST_SERVER = r"Failed to load resource: net::ERR_"
"""Chromium's line for each request that had no answer; a page cannot keep it from saying so."""


def refused_with(*statuses: int) -> str:
    """Chromium's line for each answer with one of these statuses."""
    numbers = "|".join(map(str, statuses))
    return f"Failed to load resource: the server responded with a status of ({numbers})"


def assert_accessible(page: Page) -> None:
    """That axe finds no violation of WCAG 2.2 at AA, as the page is at this moment."""
    found = Axe().run(page, options={"runOnly": WCAG_AA, "resultTypes": ["violations"]})
    assert not found.violations_count, found.generate_report()
