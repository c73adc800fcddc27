"""The page at `/`: draws, keeps and shows pictures in a browser, by the service's own API."""

from web.page.routes import router

__all__ = ["router"]
