"""The tab Service after 50 requests, 5 at a time, while pods come one after another."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.web.page.browser.driving import Visit
from tests.web.page.browser.screenshots import MAX_BYTES
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.long

REQUESTS, AT_ONCE = 50, 5
SECONDS_PER_STEP, STEPS = 0.5, 20
READY_AFTER_SECONDS = (0, 40, 70, 100, 130)
"""Of each model server, as pods become ready on a cluster that grows."""
NAME = "service-1280.png"


@pytest.fixture
def web() -> Iterator[WebProcess]:
    """Ten seconds a picture."""
    with ExitStack() as running:
        stubs = [
            running.enter_context(
                StubModelServer(
                    Behaviour(
                        seconds_per_step=SECONDS_PER_STEP,
                        default_steps=STEPS,
                        is_loading=seconds > 0,
                    )
                )
            )
            for seconds in READY_AFTER_SECONDS
        ]
        web = running.enter_context(WebProcess([stub.endpoint for stub in stubs]))
        web.wait_for_model()
        for stub, seconds in zip(stubs, READY_AFTER_SECONDS, strict=True):
            timer = threading.Timer(seconds, setattr, [stub.behaviour, "is_loading", False])
            timer.start()
            running.callback(timer.cancel)
        yield web


def test_fifty_requests_five_at_a_time_are_shown_in_full(
    web: WebProcess, visit: Visit, tmp_path: Path
) -> None:
    """With SCREENSHOTS_FOLDER=docs it writes the picture in docs/. It takes four minutes."""
    with ThreadPoolExecutor(AT_ONCE) as callers:
        answers = callers.map(
            lambda _: web.post("/sdapi/v1/txt2img", {"prompt": "pretty dog"}, timeout=180),
            range(REQUESTS),
        )
        assert [answer.status_code for answer in answers] == [200] * REQUESTS
    page = visit(web.url)
    page.set_viewport_size({"width": 1280, "height": 960})
    page.get_by_role("tab", name="Service").click()
    page.get_by_role("button", name="5 min", exact=True).click()
    expect(
        page.get_by_text("100 % of 50 requests answered · 100 % of 50 jobs done")
    ).to_be_visible()
    path = Path(os.environ.get("SCREENSHOTS_FOLDER", tmp_path)) / NAME
    page.screenshot(path=path, full_page=True)
    assert path.stat().st_size < MAX_BYTES
