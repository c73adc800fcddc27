"""A model with the tiny decoder: its pictures, its previews, and what its spec says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from model_export import families
from model_export.download import WeightsError
from model_export.spec import ModelSpec, SpecError
from model_export.tiny_decoder import weights
from tests.model_export.checkpoints.state_dicts import write, write_raw
from tests.model_export.chunked import drawn_in_chunks
from tests.model_export.test_chunks import calls_with_tokens, pixels
from tests.model_export.test_few_steps import tokens
from tests.model_export.tiny_networks import tiny_networks


def sd14(decoder: str = "tiny", **values: Any) -> ModelSpec:
    return ModelSpec.for_family("sd14", **({"weights": "random", "decoder": decoder} | values))


@pytest.mark.slow
@pytest.mark.usefixtures("no_tokenizer")
def test_a_picture_is_the_tiny_decoders_and_so_is_its_preview_at_half_the_size() -> None:
    import tensorflow as tf

    from model_export.pipeline import TextToImage
    from model_export.tiny_decoder.networks import with_tiny_decoder

    networks = tiny_networks()
    full = networks.variables[-1:]
    tiny = with_tiny_decoder(networks, full, weights.random_tensors(7), "float32")
    assert not {id(one) for one in full} & {id(one) for one in tiny.variables}
    spec = ModelSpec.for_family("demo", sampler="lcm")
    model = TextToImage(spec, tiny, "f" * 16)
    asked = tokens(num_steps=tf.constant([2]))
    chunked, answers = drawn_in_chunks(calls_with_tokens(model), asked, [1, 1])
    whole = model.tokens(**asked)["images"].numpy()[0]
    assert (pixels(chunked["image_bytes"].numpy()[0]) == whole).all() and whole.std() > 5

    previews = [pixels(answer["preview"].numpy()[0]) for answer in answers]
    assert [preview.shape for preview in previews] == [(32, 32, 3)] * 2
    # The last step of lcm ends at the clean latent, which is that of the preview.
    halved = whole.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.corrcoef(previews[-1].ravel(), halved.ravel())[0, 1] > 0.5


def test_the_decoder_is_part_of_the_fingerprint_by_its_weights(tmp_path: Path) -> None:
    def fingerprint(spec: ModelSpec) -> str:
        return families.fingerprint(spec)

    own, other = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path in (own, other):
        write(path, weights.random_tensors(1))
    full, tiny = fingerprint(sd14("full")), fingerprint(sd14())
    assert full == fingerprint(ModelSpec.for_family("sd14", weights="random"))
    assert len({full, tiny, fingerprint(sd14(f"tiny:{own}"))}) == 3
    assert fingerprint(sd14(f"tiny:{own}")) == fingerprint(sd14(f"tiny:{other}"))
    write(other, weights.random_tensors(2))
    assert fingerprint(sd14(f"tiny:{own}")) != fingerprint(sd14(f"tiny:{other}"))
    assert sd14(f"tiny:{own}").published().decoder == "tiny"


def test_taesds_own_file_is_known_by_its_checksum() -> None:
    spec = sd14(weights="official", accept_licence="CreativeML Open RAIL-M")
    assert weights.checksum(spec) == weights.FILE.sha256
    assert weights.FILE.url.partition("/resolve/")[2].count("/") == 1, "of one revision"


def test_where_it_comes_from_is_recorded(tmp_path: Path) -> None:
    official = sd14(weights="official", accept_licence="CreativeML Open RAIL-M")
    (taesd,) = weights.ingredients(official)
    assert (taesd.kind, taesd.name, taesd.sha256) == (
        "decoder",
        "taesd.safetensors",
        weights.FILE.sha256,
    )
    assert taesd.note.startswith("madebyollin/taesd, revision 614f76814bbe") and "MIT" in taesd.note
    own = tmp_path / "mine.safetensors"
    write(own, weights.random_tensors(1))
    (mine,) = weights.ingredients(sd14(f"tiny:{own}"))
    assert (mine.name, mine.note) == ("mine.safetensors", "the tiny decoder")
    assert weights.ingredients(sd14()) == weights.ingredients(sd14("full")) == ()
    assert weights.has_taesd(official) and not weights.has_taesd(sd14())


@pytest.mark.parametrize(
    "decoder", ["", "small", "tiny:", "tiny:relative", "full:/x", "TINY", "tiny:/a\0b"]
)
def test_another_decoder_is_refused(decoder: str) -> None:
    with pytest.raises(SpecError, match="decoder: must be full, tiny, or tiny: and the absolute"):
        sd14(decoder)


def test_the_demo_model_keeps_its_own() -> None:
    with pytest.raises(SpecError, match="decoder: the demo model has its own: use full"):
        ModelSpec(decoder="tiny")


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    missing = tmp_path / "none.safetensors"
    with pytest.raises(WeightsError, match=r"none.safetensors is missing: correct its path"):
        weights.checksum(sd14(f"tiny:{missing}"))


def test_a_file_that_is_no_decoder_is_refused_where_the_fingerprint_is_made(
    tmp_path: Path,
) -> None:
    path = write_raw(tmp_path / "other.safetensors", b"{}")
    with pytest.raises(WeightsError, match="is no decoder of TAESD"):
        weights.checksum(sd14(f"tiny:{path}"))


def test_in_sd14_it_takes_the_place_of_the_full_decoder() -> None:
    import tensorflow as tf

    from model_export.sd14.networks import Sd14Models, as_networks
    from model_export.tiny_decoder.network import TinyDecoder

    text, unet, full = (tf.Variable(tf.constant(float(number))) for number in range(3))
    models = Sd14Models(
        *(SimpleNamespace(variables=[SimpleNamespace(value=one)]) for one in (text, unet, full))
    )
    networks = as_networks(models, sd14(weights="random:7", image_size=256))
    assert networks.variables[:2] == [text, unet]
    sizes = [int(one.shape.num_elements()) for one in networks.variables[2:]]
    assert len(sizes) == 67 and sum(sizes) + 2 == networks.parameter_count
    latent = tf.random.stateless_normal((1, *networks.latent_shape), (1, 2))
    picture = networks.decoder(latent)
    assert picture.shape == (1, 256, 256, 3)
    expected = TinyDecoder(weights.random_tensors(7), "float32")(latent)
    assert (picture.numpy() == expected.numpy()).all()
