"""schemathesis, which nobody here wrote, reads the OpenAPI document and asks what it promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def run(web: WebProcess, folder: Path, *options: str) -> None:
    lines = len(web.log_lines)
    found = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{web.url}/api/v1/openapi.json"),
            *("--checks=all", f"--exclude-checks={','.join(NOT_PROMISED)}"),
            *("--seed=1", "--no-color", "--continue-on-failure", "--warnings=off", *options),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert "10 selected / 10 total" in found.stdout
    assert not [line for line in web.log_lines[lines:] if " 500 " in line or "ERROR" in line]


def test_the_own_api_answers_as_its_openapi_document_says(
    roomy_web: WebProcess, tmp_path: Path
) -> None:
    run(roomy_web, tmp_path, "--phases=coverage,fuzzing", "--max-examples=3")


@pytest.mark.long
def test_the_own_api_answers_as_its_document_says_in_many_orders(
    roomy_web: WebProcess, tmp_path: Path
) -> None:
    run(roomy_web, tmp_path, "--max-examples=30")
