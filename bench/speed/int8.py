"""OpenVINO's models for few steps, with 8-bit weights.

    python -m bench.speed.int8 FOLDER IMAGE_SIZE

It is what `optimum-cli export openvino --weight-format int8` does: each channel of a weight has
its own scale and zero point. OpenVINO quantises the inputs of matrix products while it draws, and
restores the weights of convolutions, so no pictures are needed to prepare it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench.speed.models import OPENVINO_FEW_STEP_PARTS, OPENVINO_INT8_PARTS, openvino_folder


def make(folder: Path, image_size: int) -> None:
    """The tiny decoder stays as it is."""
    import nncf
    import openvino as ov

    models = openvino_folder(folder, image_size)
    for source, target in zip(OPENVINO_FEW_STEP_PARTS, OPENVINO_INT8_PARTS, strict=True):
        if source != target:
            model = ov.Core().read_model(models / f"{source}.xml")
            compressed = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
            ov.save_model(compressed, models / f"{target}.xml", compress_to_fp16=False)


if __name__ == "__main__":
    base, size = sys.argv[1:]
    make(Path(base), int(size))
