"""The JSON of an answer with pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from model_export.reported import reported_profile
from prediction import png
from prediction.description import Served
from prediction.limits import PictureRequest
from web.a1111.checkpoint import Checkpoint
from web.a1111.txt2img_request import TextToImage
from web.jobs.job import Drawn, Job
from web.pictures import infotext, syntax
from web.pictures.formats import file_of

Document = dict[str, Any]

TIMESTAMP = "%Y%m%d%H%M%S"


def answer(
    asked: TextToImage,
    job: Job,
    served: Served,
    checkpoint: Checkpoint,
    notes: Sequence[str],
) -> Document:
    """images: those that were drawn, a picture that was interrupted included."""
    is_wanted = asked.send_images is not False
    images = [_base64_file(drawn, served) for drawn in job.pictures] if is_wanted else []
    return {
        "images": images,
        "parameters": _parameters(asked, job, served, checkpoint),
        "info": json.dumps(_info(job, served, checkpoint)),
        "notes": list(notes),
    }


def true_size(job: Job, served: Served) -> tuple[int, int]:
    """The size of the job's pictures, drawn or not."""
    if job.pictures:
        return png.size(job.pictures[0].answer.png)
    return served.limits.image_size, served.limits.image_size


def _base64_file(drawn: Drawn, served: Served) -> str:
    return base64.b64encode(file_of(drawn, served)).decode()


def _parameters(asked: TextToImage, job: Job, served: Served, checkpoint: Checkpoint) -> Document:
    """What the caller wrote, and for what was left out, what counted."""
    request = job.asked.requests[0]
    width, height = true_size(job, served)
    return {
        "prompt": "",
        "negative_prompt": request.negative_prompt,
        "seed": -1,
        "steps": request.num_steps,
        "cfg_scale": request.guidance_scale,
        "width": width,
        "height": height,
        "batch_size": 1,
        "n_iter": 1,
        "sampler_name": checkpoint.sampler,
        "scheduler": checkpoint.schedule,
        **asked.echo(),
    }


def _info(job: Job, served: Served, checkpoint: Checkpoint) -> Document:
    """What drew the pictures. Keys that stand for what this service does not have are empty."""
    requests = [drawn.request for drawn in job.pictures] or list(job.asked.requests)
    first = requests[0]
    width, height = true_size(job, served)
    prompts, negative_prompts = _texts(requests)
    seeds = [request.seed for request in requests]
    return {
        "prompt": prompts[0],
        "all_prompts": prompts,
        "negative_prompt": negative_prompts[0],
        "all_negative_prompts": negative_prompts,
        "seed": seeds[0],
        "all_seeds": seeds,
        "subseed": seeds[0],
        "all_subseeds": seeds,
        "subseed_strength": 0,
        "width": width,
        "height": height,
        "sampler_name": checkpoint.sampler,
        "cfg_scale": first.guidance_scale,
        "steps": first.num_steps,
        "batch_size": 1,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": checkpoint.name,
        "sd_model_hash": checkpoint.hash,
        "sd_vae_name": None,
        "sd_vae_hash": None,
        "seed_resize_from_w": -1,
        "seed_resize_from_h": -1,
        "denoising_strength": None,
        "extra_generation_params": _extra(job),
        "index_of_first_image": 0,
        "infotexts": [infotext.write(drawn, served) for drawn in job.pictures],
        "styles": [],
        "job_timestamp": job.created.astimezone().strftime(TIMESTAMP),
        "clip_skip": 1,
        "is_using_inpainting_conditioning": False,
        "version": infotext.SOFTWARE,
    }


def _texts(requests: Sequence[PictureRequest]) -> tuple[list[str], list[str]]:
    """Prompts and negative prompts as they would have to be written to be drawn again."""
    return (
        [syntax.escaped(request.prompt) for request in requests],
        [syntax.escaped(request.negative_prompt) for request in requests],
    )


def _extra(job: Job) -> dict[str, str]:
    extra = {"RNG": infotext.NOISE}
    if job.pictures:
        fingerprint = job.pictures[0].answer.fingerprint
        extra |= {"Fingerprint": fingerprint, "Profile": reported_profile(fingerprint)}
    return extra
