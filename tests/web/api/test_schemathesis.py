"""schemathesis, which nobody here wrote, reads the OpenAPI document and asks what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.web.running import WebProcess

pytestmark = pytest.mark.slow

NOT_PROMISED = (
    "positive_data_acceptance",  # how many steps and pictures, the model says, not the document
    "use_after_free",  # DELETE cancels a job, which can still be seen
    "ensure_resource_availability",  # a job's preview comes with its first steps
)


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
    shared_web: WebProcess, tmp_path: Path
) -> None:
    run(shared_web, tmp_path, "--phases=coverage,fuzzing", "--max-examples=3")


@pytest.mark.long
def test_the_own_api_answers_as_its_document_says_in_many_orders(
    shared_web: WebProcess, tmp_path: Path
) -> None:
    run(shared_web, tmp_path, "--max-examples=30")
