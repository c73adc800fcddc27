"""The page at `/`: what runs here, and how to use it."""

from web.page.routes import router

__all__ = ["router"]
