"""The page's path."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import HTMLResponse

from web.page.assemble import the_page
from web.service import Service

_NOT_MODIFIED = 304


def router(_service: Service) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    page = the_page()
    # All of them come with a 304, too: browsers replace the headers that they have kept by these.
    headers = {
        "content-security-policy": page.policy,
        "etag": page.etag,
        "cache-control": "no-cache",
        "vary": "accept-encoding",
    }
    packed_headers = {**headers, "content-encoding": "gzip"}

    @routes.get("/")
    async def show(  # pyright: ignore[reportUnusedFunction]
        if_none_match: Annotated[str, Header()] = "",
        accept_encoding: Annotated[str, Header()] = "",
    ) -> Response:
        if _names(if_none_match, page.etag):
            return Response(status_code=_NOT_MODIFIED, headers=headers)
        if _takes_gzip(accept_encoding):
            return HTMLResponse(page.packed, headers=packed_headers)
        return HTMLResponse(page.html, headers=headers)

    return routes


def _names(if_none_match: str, etag: str) -> bool:
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in known or "*" in known


def _takes_gzip(accept_encoding: str) -> bool:
    offers = [offer.replace(" ", "").lower() for offer in accept_encoding.split(",")]
    return any(
        name == "gzip" and weight.rstrip("0.") != "q="
        for name, _, weight in (offer.partition(";") for offer in offers)
    )
