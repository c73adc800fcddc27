"""People's own files as a model's weights: what is used of them, named, and accepted."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pulumi
import pytest

from model_export import inspection, resource, sources
from model_export.checkpoints.architecture import (
    DECODER,
    GUIDANCE_EMBEDDING,
    PARTS,
    TEXT_ENCODER,
    UNET,
)
from model_export.checkpoints.names import ldm_name
from model_export.download import WeightsError
from model_export.families import family, fingerprint
from model_export.ingredients import Ingredient
from model_export.manifest import Manifest
from model_export.sd14 import licence, own_files, variables, weights
from model_export.sources import OWN, WEIGHTS_LICENCE
from model_export.spec import ModelSpec, SpecError
from tests.model_export.checkpoints.stand_ins import Variable, filled
from tests.model_export.checkpoints.state_dicts import TINY, all_parts, as_ldm, write
from tests.model_export.lora.loras import DETAIL, STYLE

PARTS_OF = all_parts(TINY)


class Files:
    """Three files: a checkpoint, a VAE and a LoRA."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = write(folder / "model.safetensors", as_ldm(PARTS_OF))
        vae = {ldm_name(DECODER, name): 2 * values for name, values in PARTS_OF[DECODER].items()}
        self.vae = write(folder / "vae.safetensors", vae)
        self.style = write(folder / "style.safetensors", STYLE.as_kohya(TINY))
        self.detail = write(folder / "detail.safetensors", DETAIL.as_kohya(TINY))

    def spec(self, **values: Any) -> ModelSpec:
        chosen = {"weights": str(self.model), "accept_licence": OWN} | values
        return ModelSpec.for_family("sd14", **chosen)


@pytest.fixture
def files(tiny: None, own_cache: Path, tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_lora_of_strength_0_changes_no_bit(files: Files) -> None:
    plain, _ = filled(files.spec())
    none, _ = filled(files.spec(loras=f"{files.style}:0"))
    for part in PARTS:
        for name, values in plain[part].items():
            np.testing.assert_array_equal(values, PARTS_OF[part][name])
            np.testing.assert_array_equal(none[part][name], values)


def test_loras_add_up_in_any_order_within_rounding(files: Files) -> None:
    one, _ = filled(files.spec(loras=f"{files.style}:0.8, {files.detail}:-0.5"))
    other, _ = filled(files.spec(loras=f"{files.detail}:-0.5,{files.style}:0.8"))
    for part in PARTS:
        for name, values in one[part].items():
            assert values.dtype == np.float32
            np.testing.assert_allclose(other[part][name], values, atol=1e-6)


def test_a_lora_added_and_taken_away_leaves_the_model(files: Files) -> None:
    both, _ = filled(files.spec(loras=f"{files.style}, {files.style}:-1"))
    for name, values in both[UNET].items():
        np.testing.assert_allclose(values, PARTS_OF[UNET][name], atol=1e-6)


def test_a_vae_of_its_own_replaces_the_decoder_alone(files: Files) -> None:
    found, made_of = filled(files.spec(vae=str(files.vae)))
    for part, factor in ((TEXT_ENCODER, 1), (UNET, 1), (DECODER, 2)):
        for name, values in found[part].items():
            np.testing.assert_array_equal(values, factor * PARTS_OF[part][name])
    assert [one.kind for one in made_of] == ["weights", "vae"]


@pytest.mark.parametrize("weights_of", ["a file", "random"])
def test_all_that_is_read_and_merged_counts_as_progress(
    weights_of: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {} if weights_of == "a file" else {"weights": "random"}
    spec = files.spec(vae=str(files.vae), loras=f"{files.style}, {files.detail}", **chosen)
    monkeypatch.setattr(variables, "by_name", lambda part, model: model)
    monkeypatch.setattr(weights, "fill", lambda _models, _spec, on_progress: on_progress(1.0))
    models = [defaultdict(Variable) for part in PARTS]
    for part, model in zip(PARTS, models, strict=True):
        for name, shape in TINY.tensors(part).items():
            model[name].value = variables.to_keras(part, name, np.zeros(shape, np.float32))
    heard: list[float] = []
    own_files.fill(models, spec, heard.append)
    assert heard == sorted(heard) and heard[-1] == 1.0
    steps = np.diff(heard)
    assert steps.size and np.allclose(steps, steps[0])


def test_with_the_tiny_decoder_a_checkpoint_needs_no_vae(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {n: t for n, t in as_ldm(PARTS_OF).items() if not n.startswith("first_stage")}
    path = str(write(files.folder / "no-vae.safetensors", tensors))
    with pytest.raises(WeightsError, match="has no VAE decoder: name one in the setting vae"):
        fingerprint(files.spec(weights=path))
    assert fingerprint(files.spec(weights=path, decoder="tiny"))
    assert fingerprint(files.spec(weights=path, profile="instant"))
    monkeypatch.setattr(variables, "by_name", lambda part, model: model)
    models = [defaultdict(Variable) for _ in PARTS]
    heard: list[float] = []
    own_files.fill(models, files.spec(weights=path, decoder="tiny"), heard.append)
    filled = {part: len(model) for part, model in zip(PARTS, models, strict=True)}
    assert filled[DECODER] == 0 and filled[UNET] == len(TINY.tensors(UNET)) and heard[-1] == 1.0
    embedding = np.zeros((TINY.timestep, 256), np.float32)
    name = f"model.diffusion_model.{GUIDANCE_EMBEDDING}"
    path = str(write(files.folder / "lcm.safetensors", {**tensors, name: embedding}))
    full_lcm = files.spec(weights=path, profile="instant")
    assert (full_lcm.loras, full_lcm.max_guidance_scale) == ("", 15.0)


def test_a_model_says_what_it_is_made_of(files: Files) -> None:
    _, made_of = filled(files.spec(vae=str(files.vae), loras=f"{files.style}:0.8"))
    assert [one.to_text() for one in made_of] == [
        "weights model.safetensors: F32",
        "vae vae.safetensors: the decoder",
        "lora style.safetensors: strength 0.8, 39 of 39 keys applied",
    ]
    assert all(len(one.sha256) == 64 for one in made_of)
    assert str(files.folder) not in str(made_of)


def test_the_fingerprint_follows_the_files_and_not_where_they_are(files: Files) -> None:
    both = f"{files.style}:0.8, {files.detail}"
    specs = [
        files.spec(),
        files.spec(vae=str(files.vae)),
        files.spec(loras=str(files.style)),
        files.spec(loras=f"{files.style}:0.8"),
        files.spec(loras=both),
        files.spec(weights="random", loras=both),
    ]
    names = [fingerprint(spec) for spec in specs]
    assert len(set(names)) == len(names)
    elsewhere = files.folder / "elsewhere"
    elsewhere.mkdir()
    for file in (files.model, files.style, files.detail):
        shutil.copy(file, elsewhere)
    there = both.replace(f"{files.folder}/", f"{elsewhere}/")
    moved = files.spec(weights=str(elsewhere / files.model.name), loras=there)
    assert fingerprint(moved) == names[4]


def test_a_changed_file_has_another_fingerprint(files: Files) -> None:
    before = fingerprint(files.spec())
    changed = {**as_ldm(PARTS_OF), "model.diffusion_model.out.2.bias": np.ones(4, np.float32)}
    write(files.model, changed)
    assert fingerprint(files.spec()) != before


def test_the_same_weights_under_another_licence_have_another_fingerprint(files: Files) -> None:
    names = [fingerprint(files.spec()), fingerprint(files.spec(accept_licence=WEIGHTS_LICENCE))]
    (files.folder / "LICENSE.txt").write_text("My own terms.\n")
    names.append(fingerprint(files.spec()))
    assert len(set(names)) == 3


def test_a_preview_reads_no_gigabytes_twice(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint(files.spec(loras=str(files.style)))

    def read(*_arguments: object) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr("model_export.checksums.sha256_of", read)
    assert fingerprint(files.spec(loras=str(files.style))) == first


def test_a_file_of_the_wrong_kind_is_refused_before_anything_is_hashed(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_files, "_digest", None)
    with pytest.raises(WeightsError, match="list a LoRA in the setting loras"):
        fingerprint(files.spec(weights=str(files.style)))
    with pytest.raises(WeightsError, match="a whole model, to be named in weights"):
        fingerprint(files.spec(loras=str(files.model)))
    with pytest.raises(WeightsError, match="is missing"):
        fingerprint(files.spec(weights=str(files.folder / "none.safetensors")))


def test_a_full_latent_consistency_model_needs_its_sampler(files: Files) -> None:
    embedding = np.zeros((TINY.timestep, 256), np.float32)
    tensors = {**as_ldm(PARTS_OF), f"model.diffusion_model.{GUIDANCE_EMBEDDING}": embedding}
    path = write(files.folder / "lcm.safetensors", tensors)
    said = (
        r"a full latent consistency model, which ddim cannot .* set sampler to auto, which is lcm"
    )
    with pytest.raises(WeightsError, match=said):
        fingerprint(files.spec(weights=str(path), sampler="ddim"))
    own_ranges = files.spec(weights=str(path))
    ranges = {"sampler": "lcm", "guidance_scale": 8.0, "max_guidance_scale": 15.0}
    chosen = files.spec(weights=str(path), **ranges)
    assert chosen == own_ranges and fingerprint(chosen)
    assert files.spec(weights=str(path), profile="instant").loras == ""
    without_vae = {name: tensors[name] for name in tensors if not name.startswith("first_stage")}
    path = write(files.folder / "no-vae.safetensors", without_vae)
    assert files.spec(weights=str(path), vae=str(files.vae)).guidance_scale == 8.0


def test_a_published_model_has_none_of_this_machines_paths(files: Files) -> None:
    spec = files.spec(vae=str(files.vae), loras=str(files.style))
    published = spec.published()
    assert str(files.folder) not in str(published.to_json())
    assert published.weights == OWN and ModelSpec.from_json(published.to_json()) == published
    with pytest.raises(WeightsError, match="give the path of your file"):
        fingerprint(published)


def test_inspect_shows_what_a_model_is_made_of(files: Files, made_up_model: Any) -> None:
    _, manifest = made_up_model()
    lora = Ingredient("lora", "style.safetensors", "ab" * 32, "strength 0.8, 39 of 39 keys applied")
    manifest = replace(manifest, spec=files.spec().published(), made_of=(lora,))
    read = Manifest.from_bytes(manifest.to_bytes())
    assert read == manifest
    shown = inspection.described(read)
    assert "  made of        lora style.safetensors: strength 0.8, 39 of 39 keys applied" in shown
    assert any(line.endswith(f"sha256 {'ab' * 32}") for line in shown)


@pytest.mark.parametrize("found", [None, 7, "x", [7], [{"kind": 7}], {}])
def test_a_manifest_with_odd_ingredients_is_read_as_far_as_it_goes(
    found: object, made_up_model: Any
) -> None:
    _, manifest = made_up_model()
    document = json.loads(manifest.to_bytes()) | {"madeOf": found}
    read = Manifest.from_bytes(json.dumps(document).encode())
    assert read.files == manifest.files
    assert all(isinstance(text, str) for one in read.made_of for text in astuple(one))


def test_a_program_ends_with_one_line_about_a_file_that_does_not_fit(files: Files) -> None:
    with pytest.raises(pulumi.RunError, match="list a LoRA in the setting loras"):
        resource.require_fingerprint(files.spec(weights=str(files.style)))


@pytest.mark.parametrize("accepted", ["", "MIT", "yes"])
def test_own_files_need_a_word_on_their_licence(accepted: str, files: Files) -> None:
    with pytest.raises(SpecError, match="accept_licence: must be own, by which you say"):
        files.spec(accept_licence=accepted)


@pytest.mark.parametrize(
    ("said", "accepted", "expected"),
    [
        ("", OWN, "own (as its owner states)"),
        ("", WEIGHTS_LICENCE, WEIGHTS_LICENCE),
        ("creativeml-openrail-m", OWN, WEIGHTS_LICENCE),
        ("MIT", OWN, "MIT"),
        ("MIT", WEIGHTS_LICENCE, WEIGHTS_LICENCE),
        ("a\x1b[2J\nb\ud800", OWN, r"a\x1b[2J\nb\ud800"),
    ],
)
def test_the_licence_is_what_the_files_say(
    said: str, accepted: str, expected: str, files: Files
) -> None:
    metadata = {"modelspec.license": said} if said else None
    path = write(files.folder / "said.safetensors", as_ldm(PARTS_OF), metadata=metadata)
    spec = files.spec(weights=str(path), accept_licence=accepted)
    assert family("sd14").licence(spec) == expected
    assert family("sd14").needs_fetching(spec) == (expected == WEIGHTS_LICENCE)


def test_the_notice_names_the_files_and_the_duties(files: Files) -> None:
    spec = files.spec(loras=str(files.style))
    texts = licence.files(spec)
    assert "model.safetensors" in texts["NOTICE"] and "style.safetensors" in texts["NOTICE"]
    assert "passes its use restrictions on" in texts["NOTICE"]
    assert set(texts) == {"LICENSE", "NOTICE"}
    (files.folder / "LICENSE.txt").write_text("My own terms.\n")
    assert licence.files(spec)["LICENSE"] == "My own terms.\n"


def test_the_notice_of_changed_official_weights_names_what_changed_them(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "licence_text", lambda _spec: "A\nAttachment A\nB")
    official = {"weights": "official", "accept_licence": WEIGHTS_LICENCE}
    changed = files.spec(loras=str(files.style), vae=str(files.vae), **official)
    notice = licence.files(changed)["NOTICE"]
    assert "style.safetensors" in notice and "vae.safetensors" in notice
    assert str(files.folder) not in notice
    assert "merged" not in licence.files(files.spec(**official))["NOTICE"]


def test_a_licence_that_links_to_a_file_elsewhere_is_not_published(files: Files) -> None:
    secret = files.folder / "elsewhere" / "secret"
    secret.parent.mkdir()
    secret.write_text("a key")
    beside = files.folder / "LICENSE"
    beside.symlink_to(secret)
    assert "a key" not in licence.files(files.spec())["LICENSE"]


def test_a_licence_in_hugging_faces_cache_is_published(files: Files) -> None:
    snapshot, blob = files.folder / "snapshots" / "1", files.folder / "blobs" / "ab"
    snapshot.mkdir(parents=True)
    blob.parent.mkdir()
    blob.write_text("My own terms.\n")
    (snapshot / "LICENSE").symlink_to("../../blobs/ab")
    spec = files.spec(weights=str(shutil.copy(files.model, snapshot)))
    assert licence.files(spec)["LICENSE"] == "My own terms.\n"


def test_a_model_under_stable_diffusions_licence_carries_its_restrictions(files: Files) -> None:
    spec = files.spec(accept_licence=WEIGHTS_LICENCE)
    weights.cache_folder().mkdir(exist_ok=True)
    cached = weights.cache_folder() / weights.LICENCE_FILE.name
    cached.write_text("The licence.\n\nAttachment A\n\nNo harm.\n")
    assert "No harm." in licence.files(spec)["USE_RESTRICTIONS"]
    (files.folder / "LICENSE").write_text("Beside it.\n\nAttachment A\n\nNo lies.\n")
    assert "No lies." in licence.files(spec)["USE_RESTRICTIONS"]
    assert not licence.needs_text(spec)


@pytest.mark.parametrize(
    ("values", "key", "reason"),
    [
        ({"loras": "style.safetensors"}, "loras", "must be an absolute path"),
        ({"loras": "/a:11"}, "loras", "a strength must be from -10 to 10, not '11'"),
        ({"loras": "/a:nan"}, "loras", "a strength must be"),
        ({"loras": "/a\0b"}, "loras", "must be an absolute path"),
        ({"loras": "/a.safetensors:1e999"}, "loras", "not '1e999'"),
        ({"loras": "/a.safetensors:-inf"}, "loras", "not '-inf'"),
        ({"loras": "/a.safetensors:strong"}, "loras", "not 'strong'"),
        ({"loras": "/a.safetensors:"}, "loras", "a strength must be"),
        ({"loras": "/a.safetensors:0.8:0.6"}, "loras", "not '0.8:0.6'"),
        ({"loras": "/a.safetensors:0,8"}, "loras", "a strength is written like 0.8"),
        ({"loras": "/a,b/c.safetensors"}, "loras", "'b/c.safetensors' (commas separate LoRAs"),
        ({"loras": "~/a.safetensors"}, "loras", "must be an absolute path, or lcm, not '~/a.s"),
        ({"loras": "https://a/b.safetensors"}, "loras", "must be an absolute path"),
        ({"weights": "https://a/b.safetensors"}, "weights", "the absolute path of"),
        ({"vae": "/b", "decoder": "tiny"}, "vae", "has no effect with the tiny decoder"),
        ({"vae": "/b", "profile": "instant"}, "vae", "or set decoder to full"),
        ({"vae": "vae.safetensors"}, "vae", "must be an absolute path"),
        ({"weights": "model.safetensors"}, "weights", "the absolute path of a .safetensors file"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(
    values: dict[str, str], key: str, reason: str
) -> None:
    with pytest.raises(SpecError) as error:
        ModelSpec.for_family("sd14", **{"weights": "random", **values})
    assert error.value.key == key and reason in error.value.reason


@pytest.mark.parametrize(
    ("text", "path", "strength"),
    [
        ("/a b/ü.safetensors", "/a b/ü.safetensors", 1.0),
        ("/a:b/c.safetensors", "/a:b/c.safetensors", 1.0),
        ("/a:0.5/c.safetensors:0.8", "/a:0.5/c.safetensors", 0.8),
        ("/a.safetensors:0.5/c.safetensors", "/a.safetensors:0.5/c.safetensors", 1.0),
        (" /a.safetensors : 0.8 ,", "/a.safetensors", 0.8),
        ("/folder:0.8", "/folder", 0.8),
        ("/my:folder", "/my:folder", 1.0),
    ],
)
def test_a_loras_path_may_have_spaces_and_colons(text: str, path: str, strength: float) -> None:
    assert sources.loras(text) == (sources.LoraSource(Path(path), strength),)


@pytest.mark.parametrize("name", ["missing", "a folder"])
def test_weights_that_are_no_checkpoint_are_named_before_a_licence(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "a folder").mkdir()
    with pytest.raises(SpecError, match=r"^weights: .*is missing, or a folder without model_index"):
        ModelSpec.for_family("sd14", weights=str(tmp_path / name), accept_licence=OWN)


@pytest.mark.parametrize("key", ["loras", "vae"])
def test_the_demo_model_takes_none_of_them(key: str) -> None:
    with pytest.raises(SpecError, match=f"{key}: must be empty for the demo model"):
        ModelSpec(**{key: "/a"})


def test_a_spec_without_own_files_is_written_as_before() -> None:
    assert {"loras", "vae"}.isdisjoint(ModelSpec().to_json())
    spec = ModelSpec.for_family("sd14", weights="random", loras="/a:0.5", vae="/b")
    assert ModelSpec.from_json(spec.to_json()) == spec
