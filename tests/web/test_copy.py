"""The service away from its checkout: the files that its image has, and nothing beside them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from container_image.sources import ROOT, sources

PROGRAM = """
from model_export.token_count import token_count
from web import application
from web.options import Options
from web.page.assemble import the_page
from web.service import Service
application.create_app(Service(Options(("127.0.0.1:1",))))
print(application.__file__, len(the_page().html), token_count("a cat"))
"""


def test_a_copy_has_its_page_and_counts_tokens(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for file in sources():
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, copy / file)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    place, page_bytes, tokens = ran.stdout.split()
    assert Path(place).is_relative_to(copy)
    assert int(page_bytes) > 10_000
    assert tokens == "4"
