"""Keys that nothing reads are told: misspelt, in another's namespace, or without effect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.settings import project_file, unread
from infra.settings.stack import KEYS, parse
from infra.settings.values import SettingsError
from render.recorder import PROJECT, ROOT, run_program, stack_config
from tests.stacks import STACKS


def said_by(monkeypatch: pytest.MonkeyPatch, stack: str, **changes: str) -> list[str]:
    """The warnings of a stack's program with some settings changed."""
    lines: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", lines.append)
    run_program(stack, outputs=None, fill_in=True, first_preview=False, **changes)
    return lines


@pytest.mark.parametrize("stack", STACKS)
def test_a_committed_stack_sets_no_key_that_nothing_reads(
    monkeypatch: pytest.MonkeyPatch, stack: str
) -> None:
    assert said_by(monkeypatch, stack) == []


@pytest.mark.parametrize(
    ("stack", "changes", "line"),
    [
        ("dev", {"restPort": "9501"}, "restPort: has no effect with target gke"),
        ("local", {"spot": "true"}, "spot: has no effect with target local"),
        (
            "dev",
            {"cpuTargetPercent": "70", "maxReplicas": "1"},
            "cpuTargetPercent: has no effect while minReplicas equals maxReplicas",
        ),
    ],
)
def test_a_key_without_effect_is_a_warning_of_the_program(
    monkeypatch: pytest.MonkeyPatch, stack: str, changes: dict[str, str], line: str
) -> None:
    assert said_by(monkeypatch, stack, **changes) == [line]


def test_a_project_of_google_cloud_without_a_cluster_is_a_warning() -> None:
    config = stack_config("local") | {"gcp:project": "my-project-1"}
    (line,) = unread.lines(config, PROJECT, KEYS)
    assert line.startswith("gcp:project: has no effect with target local")


def values(stack: str, **changes: str) -> dict[str, str]:
    config = stack_config(stack) | {f"{PROJECT}:{key}": value for key, value in changes.items()}
    return {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items()}


def test_every_key_of_another_target_is_without_effect() -> None:
    local = unread.without_effect(KEYS, values("local"))
    gke = unread.without_effect(unread.local.KEYS, values("dev"))
    assert len(gke) == 4
    assert {line.partition(":")[0] for line in local} == {
        key for key in KEYS if key in values("dev") and key in unread.gke.KEYS
    }


def test_without_a_load_balancer_its_settings_have_no_effect() -> None:
    closed = values("prod", exposeModelServer="false")
    given = {"allowedSourceRanges", "internal", "loadBalancerAddress", "exposeModelServer"}
    lines = unread.without_effect(given, closed)
    # A static address stays reserved.
    still_read = {"exposeModelServer", "loadBalancerAddress"}
    assert [line.partition(":")[0] for line in lines] == sorted(given - still_read)
    assert lines[0].endswith(
        "has no effect while exposeModelServer, allowPlainHttp and domain open nothing"
    )
    assert unread.without_effect(given, values("prod", exposeModelServer="rest")) == []
    assert unread.without_effect(given, values("prod", allowPlainHttp="true")) == []
    assert unread.without_effect(given, values("prod", domain="draw.example.com")) == []


def test_beside_a_ready_image_what_one_would_be_made_of_has_no_effect() -> None:
    given = {"webImage", "webImageBase", "webPython"}
    lines = unread.without_effect(given, values("dev", webImage="registry.example/web:1.0"))
    assert lines == [
        "webImageBase: has no effect while webImage names an image",
        "webPython: has no effect while webImage names an image",
    ]
    assert unread.without_effect(given, values("dev")) == []


def test_a_key_in_the_stacks_file_is_set_even_to_its_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = (ROOT / "Pulumi.yaml").read_text()
    (tmp_path / "Pulumi.yaml").write_text(text)
    (tmp_path / "Pulumi.mine.yaml").write_text("config:\n  restPort: 8501\n  a: {secure: v1:x}\n")
    monkeypatch.setattr(project_file, "ROOT", tmp_path)
    assert unread.given(values("local"), "mine", PROJECT) == {"restPort"}
    assert unread.given(values("local"), "ada/diffusion-serving/mine", PROJECT) == {"restPort"}
    assert unread.given(values("local", steps="30"), "none", PROJECT) == {"steps"}


@pytest.mark.parametrize("stack", STACKS)
def test_a_committed_file_sets_what_differs_from_the_defaults(stack: str) -> None:
    in_file = {key.removeprefix(f"{PROJECT}:") for key in project_file.stack_config(stack)}
    assert unread.given(values(stack), stack, PROJECT) == in_file


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("gcp:projct", "gcp:project"),
        ("gcp:Project", "gcp:project"),
        ("google:project", "gcp:project"),
        ("gcp:impersonateServiceAcount", "gcp:impersonateServiceAccount"),
        ("gcp:location", "diffusion-serving:location"),
        ("difusion-serving:steps", "diffusion-serving:steps"),
        ("diffusion_serving:stepz", "diffusion-serving:steps"),
        ("dev:maxNodes", "diffusion-serving:maxNodes"),
    ],
)
def test_a_key_in_a_wrong_namespace_is_told_with_the_key_that_is_meant(
    key: str, meant: str
) -> None:
    (line,) = unread.in_another_namespace({key: "x", "gcp:project": "p"}, KEYS, PROJECT)
    assert line == f"{key}: nothing reads this key; did you mean {meant}?"


def test_a_misspelt_key_of_google_cloud_is_a_warning_before_the_error() -> None:
    config = {"gcp:projct": "my-project-1", **stack_config("dev")}
    (line,) = unread.lines(config, PROJECT, KEYS)
    assert line.startswith("gcp:projct: ")


def test_no_setting_of_google_clouds_provider_is_taken_for_a_mistake() -> None:
    import pulumi_gcp

    source = (Path(pulumi_gcp.__file__).parent / "config/vars.py").read_text(encoding="utf-8")
    names = re.findall(r"__config__\.get(?:_\w+)?\('(\w+)'", source)
    assert {"project", "region", "requestTimeout"} <= set(names)
    config = {f"gcp:{name}": "x" for name in names}
    assert unread.in_another_namespace(config, KEYS, PROJECT) == []


@pytest.mark.parametrize("key", ["aws:region", "kubernetes:namespace", "pulumi:tags"])
def test_another_providers_settings_are_its_own(key: str) -> None:
    assert unread.in_another_namespace({key: "x"}, KEYS, PROJECT) == []


@pytest.mark.parametrize(
    ("place", "value", "is_told"),
    [
        ("gcp:zone", "europe-west1-b", True),
        ("gcp:region", "europe-west1", True),
        ("gcp:zone", "us-central1-c", False),
        ("gcp:region", "us-central1", False),
    ],
)
def test_a_place_that_is_not_the_clusters_is_told(place: str, value: str, is_told: bool) -> None:
    lines = unread.lines(stack_config("dev") | {place: value}, PROJECT, KEYS)
    says = "has no effect; diffusion-serving:location says where the cluster is: us-central1-c"
    assert lines == ([f"{place}: {says}"] if is_told else [])


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("stepz", "steps"),
        ("rest_port", "restPort"),
        ("MACHINE_TYPE", "machineType"),
        ("sourceRanges", "allowedSourceRanges"),
        ("project", "gcp:project"),
    ],
)
def test_an_unknown_key_is_refused_with_the_key_that_is_meant(key: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f"^{key}: .*; did you mean {meant}\\?") as error:
        parse(values("local", **{key: "1"}))
    assert str(error.value).count("\n") == 0


def test_an_unknown_key_that_is_like_no_other_is_refused_without_a_guess() -> None:
    with pytest.raises(SettingsError, match=r"^hello: is not a setting of this project \(known: "):
        parse(values("local", hello="1"))
