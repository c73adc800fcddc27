"""The calls in README.md and docs/web.md, as a reader pastes them."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from PIL import Image

from tests.web.clients.environments import HERE, python_client
from tests.web.clients.pictures import SIZE, from_base64
from tests.web.running import ROOT, WebProcess

pytestmark = pytest.mark.slow

ADDRESS = "http://127.0.0.1:8080"
FILES = {
    "README.md": ["square.png"],
    "docs/web.md": ["circle.png", "circle.png", "circle.png"],
}
"""What each call by curl writes."""


def blocks(document: str, language: str, mark: str, web: WebProcess) -> list[str]:
    """The document's blocks of code that mention `mark`, with the address of this service."""
    text = (ROOT / document).read_text(encoding="utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block.replace(ADDRESS, web.url) for block in found if mark in block]


@pytest.mark.parametrize("document", FILES)
def test_openais_lines_draw_a_picture(document: str, service: WebProcess, tmp_path: Path) -> None:
    (lines,) = blocks(document, "python", "OpenAI", service)
    script = tmp_path / "calls.py"
    call = textwrap.indent(f"{lines}\nreturn picture", "    ")
    script.write_text(f"def documented(address):\n{call}\n", encoding="utf-8")
    seen = python_client(HERE / "openai_python", service.url, str(script))
    from_base64(seen.returned("documented"))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on PATH")
@pytest.mark.parametrize("document", FILES)
def test_calls_by_curl_draw_a_picture(document: str, service: WebProcess, tmp_path: Path) -> None:
    calls = blocks(document, "sh", "curl -s", service)
    for call, name in zip(calls, FILES[document], strict=True):
        subprocess.run(["sh", "-ec", call], cwd=tmp_path, check=True, timeout=60)
        with Image.open(tmp_path / name) as picture:
            assert (picture.format, picture.size) == ("PNG", SIZE)
        (tmp_path / name).unlink()
