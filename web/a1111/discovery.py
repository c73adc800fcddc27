"""What clients ask before they draw: lists of what there is to choose, most of them empty.

A list that clients iterate is never missing: an error there is a client that does not start.
"""

from __future__ import annotations

from typing import Any

from web.a1111.checkpoint import AUTOMATIC, Checkpoint

Document = dict[str, Any]

_UNKNOWN = {"error": "the service does not say"}

CONSTANT: dict[str, Document | list[Document]] = {
    "cmd-flags": {},
    "embeddings": {"loaded": {}, "skipped": {}},
    "extensions": [],
    "face-restorers": [],
    "hypernetworks": [],
    "latent-upscale-modes": [],
    "loras": [],
    "memory": {"ram": _UNKNOWN, "cuda": _UNKNOWN},
    "prompt-styles": [],
    "realesrgan-models": [],
    "script-info": [],
    "scripts": {"txt2img": [], "img2img": []},
    "sd-modules": [],
    "sd-vae": [],
    "upscalers": [
        {"name": "None", "model_name": None, "model_path": None, "model_url": None, "scale": 1}
    ],
}
"""The answers to `GET /sdapi/v1/…`, whatever the model."""

WITHOUT_EFFECT: dict[str, Document | None] = {
    "refresh-checkpoints": None,
    "refresh-embeddings": None,
    "refresh-loras": None,
    "refresh-vae": None,
    "reload-checkpoint": {},
    "unload-checkpoint": {},
}
"""The answers to `POST /sdapi/v1/…` that change nothing here: one model, always loaded."""

NOT_OFFERED: dict[str, str] = {
    "img2img": "the model draws from a prompt alone; use txt2img",
    "extra-single-image": "pictures are not enlarged",
    "extra-batch-images": "pictures are not enlarged",
    "interrogate": "pictures are not described; png-info reads a picture's own text",
}
"""`POST /sdapi/v1/…` that is refused, and why."""

QUEUE_STATUS: Document = {
    "msg": "estimation",
    "rank": None,
    "queue_size": 0,
    "avg_event_process_time": None,
    "avg_event_concurrent_process_time": None,
    "rank_eta": None,
    "queue_eta": 0,
}
"""Gradio's answer, by which a client finds out whether anybody is there."""


def samplers(checkpoint: Checkpoint) -> list[Document]:
    """The model's only one; empty as long as no model server has said it."""
    if checkpoint.sampler is None:
        return []
    return [{"name": checkpoint.sampler, "aliases": [], "options": {}}]


def schedulers(checkpoint: Checkpoint) -> list[Document]:
    labels = dict.fromkeys((AUTOMATIC, checkpoint.schedule))
    return [
        {
            "name": label.lower().replace(" ", "_"),
            "label": label,
            "aliases": None,
            "default_rho": -1,
            "need_inner_model": False,
        }
        for label in labels
    ]


def checkpoints(checkpoint: Checkpoint) -> list[Document]:
    return [
        {
            "title": checkpoint.title,
            "model_name": checkpoint.name,
            "hash": checkpoint.hash or None,
            "sha256": None,
            "filename": checkpoint.name,
            "config": None,
        }
    ]
