"""OpenAI's images API: `/v1/images/generations` and `/v1/models`, for the tools that speak it."""

from web.openai.errors import error_body
from web.openai.routes import UNREAD_PATHS, drawing, router

__all__ = ["UNREAD_PATHS", "drawing", "error_body", "router"]
