"""That the tests in the browser would notice what they promise to notice."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page

from tests.web.page.browser import chromium
from tests.web.page.browser.driving import Visit
from tests.web.page.browser.watching import Watch, assert_accessible
from tests.web.running import ROOT, WebProcess


def test_the_policy_blocks_a_script_that_somebody_injected(page: Page, watch: Watch) -> None:
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.injected = true";
          document.body.append(script);
        }"""
    )
    assert page.evaluate("window.injected") is None
    assert any("Content Security Policy" in fault for fault in watch.faults)
    watch.allow("Content Security Policy")


def test_the_policy_blocks_a_handler_in_markup(page: Page, watch: Watch) -> None:
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=injected=1>')")
    page.wait_for_timeout(100)
    assert page.evaluate("window.injected") is None
    watch.allow("Content Security Policy", "404")


def test_the_policy_blocks_code_made_of_text(page: Page, watch: Watch) -> None:
    page.evaluate("setTimeout('window.injected = 1')")
    page.wait_for_timeout(100)
    assert page.evaluate("window.injected") is None
    watch.allow("Content Security Policy")


def test_another_host_is_noticed_and_not_reached(page: Page, watch: Watch) -> None:
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("fetch('http://127.0.0.1:9/elsewhere')")
    watch.allow("Content Security Policy", "127.0.0.1:9/elsewhere")


@pytest.mark.parametrize(
    "script",
    [
        "console.error('broken')",
        "console.warn('broken')",
        "setTimeout(() => { throw new Error('broken'); })",
        "void Promise.reject(new Error('broken'))",
    ],
)
def test_a_complaint_is_noticed(script: str, page: Page, watch: Watch) -> None:
    page.evaluate(script)
    page.wait_for_timeout(100)
    with pytest.raises(AssertionError, match="broken"):
        watch.check()
    watch.allow("broken")


def test_a_control_without_a_name_is_noticed(page: Page) -> None:
    page.evaluate("document.querySelector('main').append(document.createElement('button'))")
    with pytest.raises(AssertionError, match="button-name"):
        assert_accessible(page)


def test_where_chromium_is_missing_the_tests_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make setup-browser"):
        chromium.found()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="make setup-browser"):
        chromium.found()


def run_setup(folder: Path, **commands: str) -> subprocess.CompletedProcess[str]:
    """`make setup-browser` where only these commands are on PATH."""
    for name, script in commands.items():
        command = folder / name.replace("_", "-")
        command.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        command.chmod(0o755)
    return subprocess.run(
        [shutil.which("make") or "make", "setup-browser"],
        cwd=ROOT,
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_setup_installs_chromium_where_it_may(tmp_path: Path) -> None:
    apt_get = 'echo "$@" >> "${0%/*}/calls"'
    assert run_setup(tmp_path, id="echo 0", apt_get=apt_get).returncode == 0
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert calls == ["update -qq", "install -qq -y --no-install-recommends chromium"]


@pytest.mark.parametrize("commands", [{"id": "echo 0"}, {"id": "echo 1000", "apt_get": "exit 1"}])
def test_setup_says_what_to_install_where_it_may_not(
    commands: dict[str, str], tmp_path: Path
) -> None:
    result = run_setup(tmp_path, **commands)
    assert result.returncode != 0
    assert "apt-get install chromium" in result.stdout


def test_setup_leaves_a_chromium_that_is_there(tmp_path: Path) -> None:
    result = run_setup(tmp_path, chromium="", id="echo 0", apt_get="exit 1")
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/chromium\n")


def test_each_visit_starts_without_a_history(visit: Visit, web: WebProcess) -> None:
    visit(web.url).evaluate("localStorage.setItem('left', 'behind')")
    assert visit(web.url).evaluate("localStorage.getItem('left')") is None
