"""AUTOMATIC1111's web API, as its clients use it: `/sdapi/v1` and what goes with it."""

from web.a1111.errors import body as error_body
from web.a1111.routes import drawing, router

__all__ = ["drawing", "error_body", "router"]
