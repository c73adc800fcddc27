"""The service's own API, `/api/v1`: jobs that are submitted, watched, cancelled and fetched."""

from web.api.routes import PREFIX, probes, router

__all__ = ["PREFIX", "probes", "router"]
