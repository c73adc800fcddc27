"""A page that loses the service, or whose service loses its model server: in words, and back."""

from __future__ import annotations

import re

import grpc
import pytest
from playwright.sync_api import Page, expect

from tests.processes import free_ports
from tests.web.jobs.on_stub import stub_process
from tests.web.page.browser.driving import (
    Visit,
    draw,
    draw_and_keep,
    job,
    thumbs,
    wait_until_ready,
    write,
)
from tests.web.page.browser.watching import LOST_SERVER, Watch, refused_with
from tests.web.running import WebProcess
from tests.web.stub_model_server import Behaviour, StubModelServer

pytestmark = pytest.mark.slow
STEP = re.compile(r"Step [1-9]")


def test_a_service_that_is_killed_and_started_again_draws_the_picture(
    visit: Visit, watch: Watch
) -> None:
    watch.allow(LOST_SERVER, refused_with(404, 503))
    (port,) = free_ports(1)
    with StubModelServer(Behaviour(seconds_per_step=0.1)) as stub:
        with WebProcess([stub.endpoint], [f"--port={port}"]) as web:
            page = visit(web.wait_for_model().url)
            draw_and_keep(page, "kept before", steps=1)
            draw(page, "a red circle", steps=20)
            expect(job(page)).to_contain_text(STEP)
            web.process.kill()
            expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
            expect(page.locator("#connection")).to_contain_text("does not answer")
            expect(job(page)).to_contain_text(re.compile("does not answer|lost", re.IGNORECASE))
            expect(thumbs(page)).to_have_count(1)  # what is kept is there without a service
            thumbs(page).first.click()
            expect(page.locator("#viewer")).to_be_visible()
            page.keyboard.press("Escape")
        stub.behaviour = Behaviour()
        with WebProcess([stub.endpoint], [f"--port={port}"]):
            wait_until_ready(page)
            expect(thumbs(page)).to_have_count(2)
            expect(job(page).get_by_role("img", name="a red circle")).to_be_visible()


def test_what_is_asked_for_while_the_service_is_away_is_drawn_once_it_is_back(
    visit: Visit, watch: Watch
) -> None:
    watch.allow(LOST_SERVER, refused_with(404, 503))
    (port,) = free_ports(1)
    with StubModelServer() as stub:
        with WebProcess([stub.endpoint], [f"--port={port}"]) as web:
            page = visit(web.wait_for_model().url)
            wait_until_ready(page)
        draw(page, "a red circle")
        expect(job(page)).to_contain_text("does not answer")
        with WebProcess([stub.endpoint], [f"--port={port}"]):
            expect(thumbs(page)).to_have_count(1)
        assert stub.calls["begin"] == 1


def test_what_is_asked_for_while_the_service_is_away_can_be_stopped(
    visit: Visit, watch: Watch
) -> None:
    watch.allow(LOST_SERVER)
    with StubModelServer() as stub:
        with WebProcess([stub.endpoint]) as web:
            page = visit(web.wait_for_model().url)
            wait_until_ready(page)
        draw(page, "a red circle")
        expect(job(page)).to_contain_text("does not answer")
        page.click("#stop")
        expect(job(page)).to_contain_text(re.compile("stop", re.IGNORECASE))


def test_a_model_server_that_is_killed_is_named_and_its_picture_drawn_later(
    visit: Visit, watch: Watch
) -> None:
    watch.allow(refused_with(503))
    with (
        stub_process("--seconds-per-step=0.05") as stub,
        WebProcess([stub.endpoint]) as web,
    ):
        page = visit(web.wait_for_model().url)
        draw(page, "a red circle", steps=30)
        expect(job(page)).to_contain_text(STEP)
        stub.kill()
        expect(page.locator("#connection")).to_contain_text("model server")
        stub.start()
        wait_until_ready(page)
        expect(thumbs(page)).to_have_count(1)
        page.close()  # before its service, which it would miss


def test_a_model_that_is_loading_is_said_and_then_ready_by_itself(
    visit: Visit, watch: Watch
) -> None:
    watch.allow(refused_with(503))
    loading = Behaviour(is_loading=True)
    with StubModelServer(loading) as stub, WebProcess([stub.endpoint]) as web:
        page = visit(web.url)
        expect(page.locator("#connection")).to_contain_text(re.compile("load", re.IGNORECASE))
        write(page, "a red circle")
        page.keyboard.press("Control+Enter")
        loading.is_loading = False
        wait_until_ready(page)
        expect(thumbs(page)).to_have_count(1)
        page.close()  # before its service, which it would miss


def test_a_picture_that_fails_says_why_and_can_be_tried_again(visit: Visit, watch: Watch) -> None:
    watch.allow(refused_with(502, 503))
    failing = Behaviour(fails={"advance": grpc.StatusCode.INTERNAL})
    with StubModelServer(failing) as stub, WebProcess([stub.endpoint]) as web:
        page = visit(web.wait_for_model().url)
        draw(page, "a red circle")
        expect(job(page).locator(".job-error")).to_contain_text(re.compile(r"\w+.*[.!?]"))
        failing.fails.clear()
        job(page).get_by_role("button", name="Try again").click()
        expect(thumbs(page)).to_have_count(1)
        page.close()  # before its service, which it would miss


def test_a_browser_that_was_offline_has_what_was_drawn_meanwhile(
    slow_page: Page, watch: Watch
) -> None:
    page = slow_page
    draw(page, "a red circle", steps=20)
    expect(job(page)).to_contain_text(STEP)
    page.context.set_offline(True)
    watch.allow(LOST_SERVER)
    expect(page.locator("#connection")).to_have_attribute("data-state", "lost")
    page.context.set_offline(False)
    expect(thumbs(page)).to_have_count(1)
    wait_until_ready(page)
