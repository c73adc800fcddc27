"""The process with keys: its start, its log, and what it never shows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.processes import wait_until
from tests.web.keys import ALICE, BOB, CAROL, WRONG, bearer, document, mount, write
from tests.web.running import ROOT, WebProcess
from tests.web.stub_model_server import StubModelServer
from web.safety.keys import parse

pytestmark = pytest.mark.slow

PROMPT = "a secret submarine"


@pytest.fixture
def keyed(tmp_path: Path, shared_stub: StubModelServer) -> Iterator[WebProcess]:
    path = mount(tmp_path / "keys", "..1", ("alice", ALICE), ("bob", BOB))
    with WebProcess([shared_stub.endpoint], [f"--keys-file={path}"]) as web:
        wait_until(lambda: web.get("/ready").status_code == 200, "the model")
        yield web


def test_names_but_no_keys_are_in_the_log_and_keys_nowhere(
    keyed: WebProcess, tmp_path: Path
) -> None:
    asks: list[Callable[[httpx.Client], httpx.Response]] = [
        lambda client: client.post("/sdapi/v1/txt2img", json={"prompt": PROMPT}),
        lambda client: client.post("/v1/images/generations", json={"prompt": PROMPT}),
        lambda client: client.post("/api/v1/jobs", json={"prompt": PROMPT, "id": "logged"}),
        lambda client: client.get("/api/v1/jobs/logged?wait=20"),
        lambda client: client.get("/api/v1/openapi.json"),
        lambda client: client.get("/api/v1/capabilities"),
        lambda client: client.get("/api/v1/figures"),
        lambda client: client.get("/"),
        lambda client: client.get("/nowhere", params={"key": ALICE}),
    ]
    shown: list[str] = []
    for headers in (
        *(bearer(ALICE), {"x-api-key": BOB}, bearer(WRONG)),
        {"authorization": f"Digest {ALICE}"},
    ):
        with httpx.Client(base_url=keyed.url, headers=headers, timeout=60) as client:
            shown += [f"{answer.text}{answer.headers}" for answer in (ask(client) for ask in asks)]
    mount(tmp_path / "keys", "..2", ("alice", CAROL))
    wait_until(lambda: "keys: alice\n" in keyed.log, "the keys' exchange in the log")
    assert keyed.get("/api/v1/jobs", headers=bearer(CAROL)).status_code == 200
    assert keyed.get("/api/v1/jobs", headers=bearer(ALICE)).status_code == 401
    (tmp_path / "keys" / "..2" / "keys.json").write_text(f'{{"keys": ["{CAROL}"]}}')
    wait_until(lambda: "the keys stay as they were" in keyed.log, "the complaint in the log")
    metrics = keyed.metrics().text
    shown += [keyed.log, metrics]
    hashes = [document(("x", key)).split('"')[-2] for key in (ALICE, BOB, CAROL, WRONG)]
    for text in shown:
        for secret in (ALICE, BOB, CAROL, WRONG, *hashes):
            assert secret not in text
    assert PROMPT not in keyed.log + metrics
    assert "keys: alice, bob\n" in keyed.log
    assert "POST /sdapi/v1/txt2img 200" in keyed.log
    lines = [line for line in keyed.log_lines if "POST /sdapi/v1/txt2img" in line]
    assert [line.partition(" key ")[2].strip() for line in lines] == ["alice", "bob", "", ""]
    assert 'web_jobs_by_key_total{key="alice",outcome="ok"} 3.0' in metrics


def test_with_keys_the_metrics_answer_to_any_name(keyed: WebProcess) -> None:
    assert keyed.metrics(headers={"host": "10.0.0.7:8081"}).status_code == 200
    assert keyed.get("/health", headers={"host": "10.0.0.7:8080"}).status_code == 200


def run_web(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "web", "--model-server=127.0.0.1:1"),
            *("--port=0", "--metrics-port=0", f"--keys-file={path}", *options),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("content", [None, f'{{"keys": [{{"name": "alice", "key": "{ALICE}"}}]}}'])
def test_keys_that_cannot_be_read_are_one_line_and_exit_code_1(
    content: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "keys.json"
    if content is not None:
        path.write_text(content)
    ended = run_web(path)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"web: the keys in {path} ")
    assert ALICE not in line


def test_the_metrics_may_have_an_address_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.json", ("alice", ALICE))
    options = [f"--keys-file={path}", "--metrics-host=127.0.0.2"]
    with WebProcess(["127.0.0.1:1"], options) as web:
        assert web.url.startswith("http://127.0.0.1:")
        assert web.metrics_url.startswith("http://127.0.0.2:")
        assert web.metrics().status_code == 200


def test_the_documented_command_makes_a_key_and_its_entry(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "web.md").read_text(encoding="utf-8")
    [command] = [line for line in text.splitlines() if "token_urlsafe" in line]
    made = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    key, content = made.stdout.splitlines()
    assert parse(content.encode()).name_of(key.encode()) == "alice"
