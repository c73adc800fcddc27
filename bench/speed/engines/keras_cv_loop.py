"""keras_cv's own `text_to_image`: a Python loop around three Keras models, in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.speed.contenders import EXPORTS, Contender
from bench.speed.models import spec


def load(_contender: Contender, _folder: Path, image_size: int) -> Callable[[int], None]:
    from keras_cv.src.models.stable_diffusion.clip_tokenizer import SimpleTokenizer

    from model_export.sd14 import networks, weights
    from model_export.vocabulary import VOCABULARY_FILE
    from tests.model_export.keras_cv_reference import drawer

    models = networks.build(image_size, "float32")
    weights.fill(models.all(), spec(EXPORTS[0], image_size), lambda _done: None)
    stable_diffusion = drawer(models, image_size)
    stable_diffusion._tokenizer = SimpleTokenizer(VOCABULARY_FILE)

    def draw(num_steps: int) -> None:
        stable_diffusion.text_to_image("a lighthouse in a storm", num_steps=num_steps, seed=1)

    return draw
