"""Revisions: when there is another one, which one gets the requests, and what they need."""

from __future__ import annotations

import pytest

from infra.settings.knative import KnativeSettings
from render.recorder import Run
from serving.knative.revision import traffic
from tests.knative.objects import container, template, workers
from tests.stacks import goes_before, run_of

OLD = "diffusion-0123456789abcdef-01234567"
NEW = "diffusion-fedcba9876543210-76543210"


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of("knative")


@pytest.fixture(scope="module")
def canary() -> Run:
    return run_of("knative", stableRevision=OLD, canaryPercent="10", steps="25")


def name_of(run: Run) -> str:
    return template(run)["metadata"]["name"]


def test_a_revision_is_named_by_its_model_and_what_else_it_runs(run: Run, canary: Run) -> None:
    for one in (run, canary):
        service, fingerprint, digest = name_of(one).split("-")
        assert (service, fingerprint) == ("diffusion", one.outputs["fingerprint"])
        assert len(digest) == 8 and one.outputs["revision"] == name_of(one)
    assert name_of(run) != name_of(canary)


def test_restored_settings_are_the_earlier_revision_again(run: Run, canary: Run) -> None:
    from render.recorder import run_program

    assert template(run_program("knative")) == template(run)


def test_another_pod_is_another_revision_and_another_share_of_requests_is_not(
    run: Run, canary: Run
) -> None:
    image = "registry.example/mine/web@sha256:" + "0a" * 32
    other = run_of("knative", webImage=image, stableRevision=OLD, canaryPercent="0")
    assert name_of(other).rsplit("-", 1)[0] == name_of(run).rsplit("-", 1)[0]
    assert name_of(other) != name_of(run)
    assert workers(other).inputs["spec"]["traffic"][0]["percent"] == 0


def test_a_canary_gets_its_percent_and_the_stable_revision_the_others(canary: Run) -> None:
    assert workers(canary).inputs["spec"]["traffic"] == [
        {"latestRevision": True, "percent": 10},
        {"revisionName": OLD, "latestRevision": False, "percent": 90},
    ]


@pytest.mark.parametrize("percent", [0, 1, 50, 99, 100])
def test_the_shares_are_all_of_the_requests(percent: int) -> None:
    shares = traffic(KnativeSettings(percent, OLD), NEW)
    assert sum(int(str(one["percent"])) for one in shares) == 100


def test_a_rollback_sends_all_requests_to_the_stable_revision() -> None:
    newest, stable = traffic(KnativeSettings(0, OLD), NEW)
    assert newest["percent"] == 0 and stable == {
        "revisionName": OLD,
        "latestRevision": False,
        "percent": 100,
    }


def test_a_stable_revision_that_is_the_newest_gets_everything() -> None:
    assert traffic(KnativeSettings(10, NEW), NEW) == [{"latestRevision": True, "percent": 100}]


def test_the_model_of_the_stable_revision_is_kept_and_claimed_before_it_is_given_up(
    canary: Run,
) -> None:
    kept = canary.one("KeptModel")
    assert kept.inputs["fingerprint"] == "0123456789abcdef"
    assert kept.inputs["destination"] == canary.one("ModelExport").inputs["destination"]
    assert goes_before(canary, workers(canary), kept)


def test_without_a_stable_revision_no_other_model_is_kept(run: Run) -> None:
    assert run.of("KeptModel") == []


def test_an_earlier_revision_finds_its_own_model_configuration_and_image(
    run: Run, canary: Run
) -> None:
    paths = {
        one.outputs["fingerprint"]: {
            entry["name"]: entry.get("value") for entry in container(one, "model-server")["env"]
        }["MODEL_PATH"]
        for one in (run, canary)
    }
    assert all(path.endswith(fingerprint) for fingerprint, path in paths.items())
    config = [one for one in run.of("ConfigMap") if "batching.config" in one.inputs["data"]]
    assert len(config) == 1 and "MODEL_PATH" not in config[0].inputs["data"]
    assert all(one.retain_on_delete for one in (config[0], run.one("WebImage")))
    assert not run_of("dev").one("WebImage").retain_on_delete
