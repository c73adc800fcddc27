"""What a worker answers to its front: a job as a stream of its events."""

from web.worker.routes import DRAW_PATH, PREFIX, router

__all__ = ["DRAW_PATH", "PREFIX", "router"]
