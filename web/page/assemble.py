"""The page as one file: `source/` put together, and the policy that lets in exactly that.

There is no build: this runs when the service starts.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dashboards.page import charts
from web.page.errors import PageError
from web.page.modules import joined

SOURCE = Path(__file__).with_name("source")
START = "main.js"
_STYLE_TAG = '<link rel="stylesheet" href="style.css">'
_SCRIPT_TAG = f'<script type="module" src="{START}"></script>'
_CHARTS_OPENING = '<script type="application/json" id="charts">'
_CHARTS_TAG = f"{_CHARTS_OPENING}[]</script>"


@dataclass(frozen=True)
class Page:
    """What `/` answers."""

    html: bytes
    packed: bytes
    """The same by gzip."""
    policy: str
    """Of content security: only what is in the file runs and styles, and no other host is asked."""
    etag: str


def read_sources(folder: Path = SOURCE) -> dict[str, str]:
    """The text of each file of the page."""
    paths = (path for path in folder.iterdir() if path.suffix in (".html", ".css", ".js"))
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(paths)}


@cache
def the_page() -> Page:
    """This service's page."""
    return assembled(read_sources())


def assembled(sources: Mapping[str, str]) -> Page:
    """One file of `index.html`, `style.css` and the modules. Raises `PageError`."""
    style = f"\n{sources['style.css']}"
    if "</style" in style.lower():
        raise PageError("style.css: </style would end the style")
    script = f"\n{joined(sources, START)}"
    html = _with(sources["index.html"], _STYLE_TAG, f"<style>{style}</style>")
    html = _with(html, _CHARTS_TAG, f"{_CHARTS_OPENING}{_charts()}</script>")
    html = _with(html, _SCRIPT_TAG, f'<script type="module">{script}</script>')
    content = html.encode()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return Page(content, gzip.compress(content, mtime=0), _policy(script, style), etag)


def _charts() -> str:
    return json.dumps(charts(), separators=(",", ":")).replace("<", "\\u003c")


def _with(html: str, tag: str, replacement: str) -> str:
    if html.count(tag) != 1:
        raise PageError(f"index.html must have this once: {tag}")
    return html.replace(tag, replacement)


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
