"""What make starts, the official CLI too, reaches loopback without the environment's proxy."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1,localhost,::1"
SHOW = '#!/bin/sh\n[ "$1" = -c ] || echo "no_grpc_proxy=$no_grpc_proxy"\n'


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, LOOPBACK),
        ({"no_proxy": "a.example,.b"}, f"{LOOPBACK},a.example,.b"),
        ({"NO_PROXY": "c"}, f"{LOOPBACK},c"),
        ({"no_proxy": "a", "no_grpc_proxy": "g"}, f"{LOOPBACK},g"),
    ],
)
def test_make_and_make_env_add_loopback_to_the_exceptions(
    tmp_path: Path, variables: dict[str, str], expected: str
) -> None:
    for name in ("Makefile", "requirements.txt", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(SHOW, encoding="utf-8")
    python.chmod(0o755)
    (tmp_path / ".venv" / ".installed").touch()

    def shown(*command: str) -> str:
        ran = subprocess.run(
            command,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "https_proxy": "http://proxy.example:3128", **variables},
            capture_output=True,
            encoding="utf-8",
            check=True,
        )
        return ran.stdout.splitlines()[-1]

    assert shown("make", "status") == f"no_grpc_proxy={expected}"
    typed = shown("sh", "-c", f'eval "$(make env)"; {python} now')
    assert typed == f"no_grpc_proxy={expected}"
