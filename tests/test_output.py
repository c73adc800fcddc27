"""Standard output that cannot be written: a full disk, or a reader that has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fake_serving import FakeServing

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def server() -> Iterator[FakeServing]:
    serving = FakeServing()
    yield serving
    serving.close()


@pytest.fixture(
    params=["client status", "model_export clean", "render --stack local", "engine stack ls"]
)
def command(request: pytest.FixtureRequest, tmp_path: Path, server: FakeServing) -> list[str]:
    """A command line that prints something and does nothing else."""
    module, *rest = request.param.split()
    match module:
        case "client":
            rest += ["--endpoint", server.endpoint]
        case "model_export":
            rest += [tmp_path.as_uri()]
        case "engine":
            (tmp_path / "Pulumi.yaml").write_text(
                "name: colours\nruntime: python\n", encoding="utf-8"
            )
            (tmp_path / "state").mkdir()
            select = ["stack", "select", "--create", "dev"]
            subprocess.run(
                [sys.executable, "-m", module, *select],
                env=environment(tmp_path),
                cwd=tmp_path,
                check=True,
            )
        case _:
            pass
    return [sys.executable, "-m", module, *rest]


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PULUMI_BACKEND_URL": "file://state",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_HOME": str(folder / "home"),
    }


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one_line(command: list[str], tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        ran = subprocess.run(
            command,
            env=environment(tmp_path),
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert ran.returncode == 1, ran.stderr
    (line,) = ran.stderr.decode().splitlines()
    assert line.startswith(("error: ", "model_export: ")) and "No space left on device" in line


def test_a_reader_that_has_gone_is_no_error(command: list[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        command,
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert ran.stderr == b""
