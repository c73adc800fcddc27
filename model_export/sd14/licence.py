"""What must accompany Stable Diffusion's weights, by paragraph 4 of their licence."""

from __future__ import annotations

from model_export.download import WeightsError
from model_export.sd14 import weights
from model_export.spec import WEIGHTS_LICENCE, ModelSpec

_RESTRICTIONS_HEADING = "\nAttachment A\n"

_NOTICE = """\
Stable Diffusion 1.4, as a TensorFlow SavedModel.
The weights are by Robin Rombach, Patrick Esser and contributors, licensed under the
CreativeML Open RAIL-M licence (see LICENSE).

Modified: diffusion-serving converted the weights from Keras files to a SavedModel that
draws pictures of {image_size} px, and stores them as {precision}.

Use is restricted: see USE_RESTRICTIONS, which are that licence's Attachment A. Whoever lets
others use this model, over a network too, has to pass these restrictions on as terms that can
be enforced, and give them a copy of the licence.
"""

_RANDOM_NOTICE = """\
THIS MODEL HAS RANDOM WEIGHTS: it was never trained, and draws noise.
It has the size and the speed of Stable Diffusion 1.4, for tests and benchmarks. The numbers
were drawn by diffusion-serving from seed {seed}.
"""
_RANDOM_LICENCE = "The weights of this model are random numbers, which nobody owns.\n"


def name(spec: ModelSpec) -> str:
    if spec.random_seed is not None:
        return "none (random weights)"
    return WEIGHTS_LICENCE


def files(spec: ModelSpec) -> dict[str, str]:
    """The texts by file name. For trained weights, `weights.fetch` must have been called."""
    if spec.random_seed is not None:
        notice = _RANDOM_NOTICE.format(seed=spec.random_seed)
        return {"LICENSE": _RANDOM_LICENCE, "NOTICE": notice}
    text = weights.licence_text(spec)
    _, heading, restrictions = text.rpartition(_RESTRICTIONS_HEADING)
    if not heading:
        raise WeightsError("the weights' licence has no Attachment A with the use restrictions")
    return {
        "LICENSE": text,
        "USE_RESTRICTIONS": heading.lstrip() + restrictions,
        "NOTICE": _NOTICE.format(image_size=spec.image_size, precision=spec.precision),
    }
