"""schemathesis, which nobody here wrote, reads the OpenAPI document and asks what it promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import wait_until
from tests.web.keys import ALICE, write
from tests.web.running import WebProcess
from tests.web.stub_model_server import StubModelServer

pytestmark = pytest.mark.slow

NOT_PROMISED = (
    "positive_data_acceptance",  # how many steps and pictures, the model says, not the document
    "use_after_free",  # DELETE cancels a job, which can still be seen
    "ensure_resource_availability",  # a job's preview comes with its first steps
)


@pytest.fixture(scope="module")
def roomy_web(shared_stub: StubModelServer) -> Iterator[WebProcess]:
    """A service whose queue does not fill: its 503, though documented, is a server's error."""
    with WebProcess([shared_stub.endpoint], ["--queue=10000"]) as web:
        yield web.wait_for_model()


@pytest.fixture(scope="module")
def keyed_web(
    shared_stub: StubModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebProcess]:
    keys = write(tmp_path_factory.mktemp("keys") / "keys.json", ("alice", ALICE))
    options = [f"--keys-file={keys}", "--queue=10000", "--jobs-per-key=10000"]
    with WebProcess([shared_stub.endpoint], options) as web:
        wait_until(lambda: web.get("/ready").status_code == 200, "the model")
        yield web


def run(web: WebProcess, folder: Path, *options: str, checks: str = "all") -> None:
    lines = len(web.log_lines)
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{web.url}/api/v1/openapi.json"),
            *(f"--checks={checks}", f"--exclude-checks={','.join(NOT_PROMISED)}"),
            *("--seed=1", "--no-color", "--continue-on-failure", "--warnings=off", *options),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert "13 selected / 13 total" in found.stdout
    assert not [line for line in web.log_lines[lines:] if " 500 " in line or "ERROR" in line]


def test_the_own_api_answers_as_its_openapi_document_says(
    roomy_web: WebProcess, tmp_path: Path
) -> None:
    run(roomy_web, tmp_path, "--phases=coverage,fuzzing", "--max-examples=3")


def test_with_keys_the_own_api_asks_for_one_as_its_document_says(
    keyed_web: WebProcess, tmp_path: Path
) -> None:
    """The check asks each operation without the key, and with a wrong one."""
    header = f"-HAuthorization: Bearer {ALICE}"
    run(keyed_web, tmp_path, header, "--phases=coverage", checks="ignored_auth")


@pytest.mark.long
def test_the_own_api_answers_as_its_document_says_in_many_orders(
    roomy_web: WebProcess, tmp_path: Path
) -> None:
    run(roomy_web, tmp_path, "--max-examples=30")
