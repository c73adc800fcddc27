"""The page's path."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from pathlib import Path
from string import Template

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from web.service import Service

_TEXT = Path(__file__).with_name("index.html").read_text(encoding="utf-8")
_STYLE = re.search(r"<style>(.*)</style>", _TEXT, re.DOTALL)
_STYLE_HASH = base64.b64encode(hashlib.sha256((_STYLE[1] if _STYLE else "").encode()).digest())
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH.decode()}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""Nothing is loaded, nothing runs, and the page's own style is the only one."""


def router(service: Service) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def show(request: Request) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        base = str(request.base_url).rstrip("/")
        text = Template(_TEXT).substitute(base=escape(base), state=escape(_state(service)))
        return HTMLResponse(text, headers={"content-security-policy": POLICY})

    return routes


def _state(service: Service) -> str:
    model = service.models.served.description
    if model is None:
        return f"Its model server is {service.models.state.value}."
    return (
        f"The model is {model.family} ({model.fingerprint}), its pictures have "
        f"{model.limits.image_size} × {model.limits.image_size} pixels."
    )
