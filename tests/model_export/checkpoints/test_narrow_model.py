"""The narrow model from a checkpoint answers as diffusers does; its LoRAs are merged as there.

`diffusers_answers.npz` was written by `torch_reference.py`, and `diffusers_pictures.npz` by
`torch_pictures.py`, which have the same random numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.checkpoints import architecture
from model_export.checkpoints.architecture import GUIDANCE_EMBEDDING, UNET
from model_export.checkpoints.names import LDM_PREFIXES
from model_export.networks import Networks
from model_export.sd14 import weights
from model_export.spec import ModelSpec
from tests.model_export import torch_process
from tests.model_export.checkpoints import pictures
from tests.model_export.checkpoints.drawn import answers, noise
from tests.model_export.checkpoints.pictures import (
    KEPT_EVERY,
    MORE_RECIPES,
    RECIPES,
    SIZE,
    Recipe,
    are_equal,
)
from tests.model_export.checkpoints.state_dicts import (
    NARROW,
    all_parts,
    as_ldm,
    guidance_embedding,
    write,
)
from tests.model_export.lora.loras import DETAIL, STYLE
from tests.model_export.narrow_networks import narrow
from tests.model_export.torch_process import needs_torch

pytestmark = pytest.mark.slow

ANSWERS = Path(__file__).parent / "diffusers_answers.npz"
PICTURES = Path(__file__).parent / "diffusers_pictures.npz"


class Traced:
    """A model as a graph, made once for all pictures, also where functions run without one."""

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        self.variables = model.variables
        self._function = tf.function(lambda inputs: model(inputs, training=False), autograph=False)

    def __call__(self, inputs: Any, training: bool) -> Any:
        return self._function.get_concrete_function(inputs)(inputs)


class Loaded:
    """keras_cv's narrow models, filled again and again: making them takes most of the time."""

    def __init__(self, folder: Path) -> None:
        from model_export.sd14 import networks

        tensors = as_ldm(all_parts())
        self.path = write(folder / "model.safetensors", tensors, "F16")
        embedding = f"{LDM_PREFIXES[UNET]}{GUIDANCE_EMBEDDING}"
        tensors[embedding] = guidance_embedding()
        self.full_lcm = write(folder / "lcm.safetensors", tensors, "F16")
        self.decoder = write(folder / "decoder.safetensors", pictures.tiny_decoder())
        files = (write(folder / f"{lora.name}.safetensors", lora.as_kohya()) for lora in LORAS)
        pairs = zip(files, LORAS, strict=True)
        self.loras = ", ".join(f"{file}:{lora.strength}" for file, lora in pairs)
        with narrow():
            self.models = networks.build(SIZE, "float32")
        self.traced = networks.Sd14Models(*map(Traced, self.models.all()))

    def spec(self, **values: Any) -> ModelSpec:
        chosen = {"weights": str(self.path), "accept_licence": "own", "image_size": SIZE}
        return ModelSpec.for_family("sd14", **chosen | values)

    def spec_of(self, recipe: Recipe) -> ModelSpec:
        values = recipe.settings()
        if recipe.has_tiny_decoder:
            values["decoder"] = f"tiny:{self.decoder}"
        if recipe.has_embedding:
            values["weights"] = str(self.full_lcm)
        return self.spec(**values)

    def filled(self, spec: ModelSpec) -> tuple[Networks, list[str]]:
        from model_export.sd14 import networks

        made_of = networks.fill(self.models, spec, lambda _done: None)
        return networks.as_networks(self.traced, spec), [one.to_text() for one in made_of]

    def values(self) -> list[np.ndarray]:
        return [weight.numpy() for model in self.models.all() for weight in model.weights]


LORAS = (STYLE, DETAIL)


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """Inside, the networks alone are graphs, and they are run as they are: optimizing the whole
    graph of each picture takes longest.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architecture, "SD1", NARROW)
        patch.setenv(weights.CACHE_VARIABLE, str(folder / "cache"))
        with quick():
            yield Loaded(folder)


def differences(found: dict[str, np.ndarray], kind: str) -> dict[str, float]:
    """Relative to the size of diffusers' answer."""
    wanted = np.load(ANSWERS)
    return {
        name: float(
            np.linalg.norm(tensor - wanted[f"{kind}/{name}"])
            / np.linalg.norm(wanted[f"{kind}/{name}"])
        )
        for name, tensor in found.items()
    }


BOUNDS = {"context": 1e-5, "noise": 4e-4, "image": 1e-4}
"""keras_cv approximates one activation; other layers round in another order."""


def test_a_checkpoint_with_its_loras_answers_as_diffusers_does(loaded: Loaded) -> None:
    networks, made_of = loaded.filled(loaded.spec())
    assert made_of == ["weights model.safetensors: F16"]
    plain = answers(networks)
    for name, difference in differences(plain, "plain").items():
        assert difference < BOUNDS[name], name
    before = loaded.values()

    networks, made_of = loaded.filled(loaded.spec(loras=loaded.loras))
    assert made_of[1:] == [
        "lora style.safetensors: strength 0.8, 39 of 39 keys applied",
        "lora detail.safetensors: strength -0.5, 4 of 4 keys applied",
    ]
    merged = answers(networks)
    for name, difference in differences(merged, "fused").items():
        assert difference < BOUNDS[name], name
    assert differences(plain, "fused")["noise"] > 0.1
    changed = sum((a != b).any() for a, b in zip(before, loaded.values(), strict=True))
    assert changed == len({layer for lora in LORAS for layer in lora.layers})

    # Shapes alone would not notice two layers that are swapped.
    first, second = [w for w in loaded.models.unet.weights if w.shape == (32, 32)][:2]
    values = first.numpy(), second.numpy()
    first.assign(values[1])
    second.assign(values[0])
    assert differences({"noise": noise(networks)}, "fused")["noise"] > BOUNDS["noise"]


def drawn(recipe: Recipe, loaded: Loaded) -> np.ndarray:
    from model_export.sd14 import networks, own_files

    spec = loaded.spec_of(recipe)
    made = own_files.with_guidance_embedding(networks.as_networks(loaded.traced, spec), spec)
    picture = pictures.draw(made, spec, recipe)
    assert picture.std() > 20
    return picture[::KEPT_EVERY, ::KEPT_EVERY]


@pytest.fixture(scope="module")
def plain(loaded: Loaded) -> Loaded:
    """Without LoRAs."""
    loaded.filled(loaded.spec())
    return loaded


@pytest.mark.parametrize("name", RECIPES)
def test_a_picture_equals_that_of_diffusers_pipeline_and_scheduler(
    name: str, plain: Loaded
) -> None:
    assert are_equal(drawn(RECIPES[name], plain), np.load(PICTURES)[name])


@pytest.mark.long
@pytest.mark.parametrize("name", MORE_RECIPES)
def test_a_picture_with_more_work_equals_that_of_diffusers_pipeline_and_scheduler(
    name: str, plain: Loaded
) -> None:
    assert are_equal(drawn(MORE_RECIPES[name], plain), np.load(PICTURES)[name])


@pytest.mark.long
def test_a_picture_with_loras_equals_that_of_diffusers(loaded: Loaded) -> None:
    loaded.filled(loaded.spec(loras=loaded.loras))
    assert are_equal(drawn(MORE_RECIPES["guided"], loaded), np.load(PICTURES)["with LoRAs"])


@pytest.mark.long
@needs_torch
def test_diffusers_answers_and_draws_what_is_stored(tmp_path: Path) -> None:
    torch_process.run("checkpoints.torch_reference", tmp_path / "answers.npz")
    torch_process.run("checkpoints.torch_pictures", tmp_path / "pictures.npz")
    answered, stored = np.load(tmp_path / "answers.npz"), np.load(ANSWERS)
    for name in stored.files:
        np.testing.assert_allclose(answered[name], stored[name], rtol=0, atol=1e-4)
    drawn_again, kept = np.load(tmp_path / "pictures.npz"), np.load(PICTURES)
    for name in kept.files:
        assert np.abs(drawn_again[name].astype(int) - kept[name]).max() <= 1
