"""LCM-LoRA: what makes any Stable Diffusion 1.x draw in a few steps (arXiv:2311.05556)."""

from __future__ import annotations

from model_export.download import RemoteFile

LICENCE = "CreativeML Open RAIL++-M"
SOURCE = "latent-consistency/lcm-lora-sdv1-5"
REVISION = "cf2fced511dbe7e26c8d1d397e728fbab875db4b"
FILE = RemoteFile(
    "lcm-lora-sdv1-5.safetensors",
    f"https://huggingface.co/{SOURCE}/resolve/{REVISION}/pytorch_lora_weights.safetensors",
    "8f90d840e075ff588a58e22c6586e2ae9a6f7922996ee6649a7f01072333afe4",
    134_621_556,
)
NOTICE = (
    f"The weights were changed by LCM-LoRA ({SOURCE}, revision {REVISION[:10]}), licensed under\n"
    f"the {LICENCE} licence, which restricts its use as Stable Diffusion's does.\n"
)
