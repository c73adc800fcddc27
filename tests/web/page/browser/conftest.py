"""A browser, a service to look at, and a page in which nothing may go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.web.page.browser import chromium
from tests.web.page.browser.driving import Visit
from tests.web.page.browser.watching import Watch
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

VIEWPORT = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium.running() as browser:
        yield browser


@pytest.fixture(scope="module")
def module_stub() -> Iterator[StubModelServer]:
    with StubModelServer() as stub:
        yield stub


@pytest.fixture(scope="module")
def web(module_stub: StubModelServer) -> Iterator[WebProcess]:
    """A service for all tests of a file that leave it as it is."""
    with WebProcess([module_stub.endpoint]) as web:
        yield web.wait_for_model()


@pytest.fixture(scope="module")
def slow_stub() -> Iterator[StubModelServer]:
    """Draws 20 steps in a second. It is slow from its start: what a service has seen draw at once
    it asks for all steps at once, too."""
    with StubModelServer(Behaviour(seconds_per_step=0.05)) as stub:
        yield stub


@pytest.fixture(scope="module")
def slow_web(slow_stub: StubModelServer) -> Iterator[WebProcess]:
    """A service in which there is something to see while it draws."""
    with WebProcess([slow_stub.endpoint]) as web:
        yield web.wait_for_model()


@pytest.fixture
def stub(module_stub: StubModelServer) -> Iterator[StubModelServer]:
    """The service's model server: it draws at once, unless a test says otherwise."""
    yield module_stub
    module_stub.behaviour = Behaviour()  # what is left in the queue is drawn at once, too


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.check()


@pytest.fixture
def visit(browser: Browser, watch: Watch) -> Iterator[Visit]:
    contexts: list[BrowserContext] = []

    def visit(url: str, before: str = "", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": VIEWPORT, **options})
        contexts.append(context)
        context.set_default_timeout(chromium.LIMIT_MS)
        watch.over(context, url)
        if before:
            context.add_init_script(before)
        page = context.new_page()
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()


@pytest.fixture
def page(visit: Visit, web: WebProcess, stub: StubModelServer) -> Page:
    """The page as somebody sees it for the first time."""
    return visit(web.url)


@pytest.fixture
def slow_page(visit: Visit, slow_web: WebProcess) -> Page:
    return visit(slow_web.url)
