"""What a single file says that its U-Net predicts."""

from __future__ import annotations

from model_export.checkpoints.safetensors import SafetensorsFile
from model_export.prediction_types import EPSILON, V

V_MARK = "v_pred"
"""A tensor without content, in models that predict v."""
_METADATA = "modelspec.prediction_type"
_TYPES = {"epsilon": EPSILON, "v": V, V: V}


def prediction_type(file: SafetensorsFile) -> str:
    """Empty if it says nothing."""
    return V if V_MARK in file.tensors else _TYPES.get(file.metadata.get(_METADATA, ""), "")
