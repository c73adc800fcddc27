"""The profile `instant`: what it sets, what it downloads, and that all of it can be overridden."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from infra.settings import stack as settings
from model_export import families
from model_export.download import RemoteFile
from model_export.export import stages
from model_export.lora import lcm
from model_export.reported import reported_fingerprint
from model_export.sd14 import licence, own_files, weights
from model_export.sources import OWN, with_lcm_lora
from model_export.spec import WEIGHTS_LICENCE, ModelSpec, SpecError
from model_export.stages import Stage
from model_export.tiny_decoder import weights as tiny_weights
from render.recorder import ROOT
from tests.infra.settings.test_stack import values as stack_values
from tests.model_export.file_server import FileServer, serving

SD14 = families.family("sd14")


def instant(**values: Any) -> ModelSpec:
    official = {"weights": "official", "accept_licence": WEIGHTS_LICENCE}
    return ModelSpec.for_family("sd14", profile="instant", **(official | values))


def test_instant_is_lcm_lora_in_four_steps_without_guidance_and_the_tiny_decoder() -> None:
    spec = instant()
    assert (spec.sampler, spec.steps, spec.max_steps) == ("lcm", 4, 8)
    assert (spec.guidance_scale, spec.max_guidance_scale) == (1.0, 1.0)
    assert (spec.decoder, spec.loras) == ("tiny", "lcm")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 6),
        ("max_steps", 16),
        ("guidance_scale", 1.5),
        ("max_guidance_scale", 2.0),
        ("sampler", "tcd"),
        ("decoder", "full"),
        ("loras", "lcm:0.5"),
    ],
)
def test_each_of_its_values_can_be_overridden(field: str, value: Any) -> None:
    assert getattr(instant(**{field: value}), field) == value


@pytest.mark.parametrize("sampler", ["dpmpp_2m_trailing", "ddim_trailing"])
def test_an_ordinary_sampler_has_its_own_values(sampler: str) -> None:
    spec = instant(sampler=sampler)
    assert (spec.steps, spec.guidance_scale, spec.max_guidance_scale) == (20, 7.5, 30.0)
    assert not instant(sampler=sampler, guidance_scale=1.0).is_distilled


@pytest.mark.parametrize("guidance, most", [(1.0, 1.0), (1.5, 2.0)])
def test_a_larger_guidance_is_within_the_lora_s_range(guidance: float, most: float) -> None:
    spec = instant(guidance_scale=guidance)
    assert (spec.guidance_scale, spec.max_guidance_scale) == (guidance, most)


@pytest.mark.parametrize(
    ("given", "merged"),
    [
        ("", "lcm"),
        ("/a/style.safetensors:0.8", "lcm, /a/style.safetensors:0.8"),
        ("/a/style.safetensors, lcm:0.9", "/a/style.safetensors, lcm:0.9"),
        ("lcm:0", "lcm:0"),
        ("lcm :0.9", "lcm :0.9"),
        ("/a/lcm.safetensors", "lcm, /a/lcm.safetensors"),
    ],
)
def test_lcm_lora_goes_with_others(given: str, merged: str) -> None:
    assert with_lcm_lora(given) == merged
    assert ModelSpec.for_family("sd14", weights="random", loras=merged).loras == merged


def test_a_lora_of_strength_zero_is_not_downloaded() -> None:
    assert own_files.needs_lcm_lora(instant())
    assert not own_files.needs_lcm_lora(instant(loras="lcm:0"))


def test_the_demo_model_has_no_instant() -> None:
    with pytest.raises(SpecError, match="profile: the demo model has no instant: use exact or"):
        ModelSpec.for_family("demo", profile="instant")


def test_a_stack_gets_all_of_it_by_one_setting() -> None:
    chosen = {"modelFamily": "sd14", "precision": "float32", "acceptLicence": WEIGHTS_LICENCE}
    model = settings.parse(stack_values(profile="instant", **chosen)).model
    assert model == instant()
    slower = settings.parse(stack_values(profile="instant", decoder="full", steps="8", **chosen))
    assert (slower.model.decoder, slower.model.steps) == ("full", 8)


def test_its_fingerprint_needs_no_download_and_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    specs = [
        instant(),
        dataclasses.replace(instant(), profile="exact"),
        instant(loras="lcm:0.9"),
        instant(decoder="full"),
        instant(steps=5),
    ]
    assert len({families.fingerprint(spec) for spec in specs}) == len(specs)
    reported = reported_fingerprint(instant(), families.fingerprint(instant()))
    assert reported.endswith("-instant")


def test_it_downloads_lcm_lora_and_taesd_of_pinned_revisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: dict[str, str] = {}

    def download(file: Any, folder: Path, *_: Any) -> None:
        assert folder == tmp_path and file.sha256
        fetched[file.name] = file.url

    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(weights, "download", download)
    assert SD14.needs_fetching(instant())
    SD14.fetch(instant(), lambda _done: None)
    pinned = ["lcm-lora-sdv1-5.safetensors", "taesd.safetensors"]
    assert {part.file.name for part in weights.PARTS} | {*pinned} <= set(fetched)
    assert not [name for name in pinned if "/resolve/main/" in fetched[name]]


def test_its_downloads_say_how_far_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = bytes(600_000), bytes(200_000)
    own = instant(weights=str(tmp_path / "model.safetensors"), accept_licence=OWN)
    monkeypatch.setattr(licence, "needs_text", lambda _spec: False)
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    with serving(FileServer(large=large, small=small)) as server:
        for module, path, content in ((lcm, "large", large), (tiny_weights, "small", small)):
            checksum = hashlib.sha256(content).hexdigest()
            file = RemoteFile(path, f"{server.url}/{path}", checksum, len(content))
            monkeypatch.setattr(module, "FILE", file)
        heard: list[float] = []
        SD14.fetch(own, heard.append)
    assert heard == sorted(heard) and heard[-1] == 1.0
    assert 0.74 in [round(share, 2) for share in heard] and len(heard) > 10
    assert stages(own)[0] is Stage.FETCH


def test_without_a_network_its_files_can_be_put_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/model.md").read_text(encoding="utf-8")
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(licence, "needs_text", lambda _spec: False)
    for module in (lcm, tiny_weights):
        name = module.FILE.name
        assert f"`{name}`" in page
        (tmp_path / name).write_text(name)
        checksum = hashlib.sha256(name.encode()).hexdigest()
        unreachable = RemoteFile(name, "http://127.0.0.1:9/", checksum, 1)
        monkeypatch.setattr(module, "FILE", unreachable)
    SD14.fetch(instant(weights=str(tmp_path / "m.safetensors")), lambda _done: None)


@pytest.mark.parametrize("name", [lcm.FILE.name, tiny_weights.FILE.name])
def test_an_interrupted_export_says_where_its_downloads_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    checkpoint = tmp_path / "model.safetensors"
    own = instant(weights=str(checkpoint))
    assert SD14.downloads(own) is None
    (tmp_path / f"{name}.part").write_bytes(b"half")
    assert SD14.downloads(own) == SD14.downloads(instant()) == tmp_path
    assert SD14.downloads(instant(weights="random")) is None


def test_with_random_weights_it_needs_no_download() -> None:
    spec = instant(weights="random")
    assert not SD14.needs_fetching(spec)
    assert own_files.loras(spec) == ()
    assert families.fingerprint(spec) != families.fingerprint(instant())


def test_where_lcm_lora_comes_from_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    (source,) = own_files.loras(instant())

    class Opened:
        key_count = 834

    made_of = own_files._of_lora(source, Opened())  # pyright: ignore[reportArgumentType]
    assert made_of.sha256 == lcm.FILE.sha256
    for part in (lcm.SOURCE, lcm.REVISION, lcm.LICENCE, "strength 1, 834 of 834 keys applied"):
        assert part in made_of.note
    monkeypatch.setattr(weights, "licence_text", lambda _spec: "A\nAttachment A\nB")
    notice = SD14.licence_files(instant())["NOTICE"]
    assert lcm.SOURCE in notice and lcm.LICENCE in notice
