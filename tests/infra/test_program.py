"""The program itself, run against mocks: what it registers and what it exports."""

from __future__ import annotations

import subprocess
import sys

import pulumi
import pytest

from model_export.spec import ModelSpec
from render.recorder import ROOT, Run, run_program, stack_config
from tests.stacks import STACKS, goes_before

MODEL = "pulumi-python:dynamic/diffusion:ModelExport"
SERVER = "pulumi-python:dynamic/diffusion:LocalModelServer"
WEB = "pulumi-python:dynamic/diffusion:LocalWebService"
OUTPUTS = {
    MODEL: {"uri": "file:///models/abc", "fingerprint": "abc"},
    SERVER: {"endpoint": "http://127.0.0.1:8501", "grpcEndpoint": "127.0.0.1:8500"},
    WEB: {"endpoint": "http://127.0.0.1:8080"},
}


@pytest.fixture(scope="module")
def local() -> Run:
    return run_program("local", outputs=OUTPUTS)


def test_the_local_stack_is_a_model_its_server_and_a_web_service(local: Run) -> None:
    assert sorted(r.type for r in local.resources) == sorted([MODEL, SERVER, WEB])


def test_the_server_serves_the_model_that_was_exported(local: Run) -> None:
    model, server = local.one(MODEL), local.one(SERVER)
    assert server.inputs["modelUri"] == "file:///models/abc"
    assert server.property_dependencies["modelUri"] == (model.urn,)


def test_the_web_service_asks_the_model_server_and_is_taken_down_before_it(local: Run) -> None:
    web = local.one(WEB)
    assert web.inputs["modelServer"] == "127.0.0.1:8500"
    assert (web.inputs["port"], web.inputs["metricsPort"]) == (8080, 8081)
    assert goes_before(local, web, local.one(SERVER))


def test_a_model_that_changes_does_not_restart_the_web_service(local: Run) -> None:
    changed = run_program("local", outputs=OUTPUTS, steps="30", first_preview=True)
    assert changed.one(SERVER).inputs != local.one(SERVER).inputs
    assert changed.one(WEB).inputs == local.one(WEB).inputs


def test_both_servers_have_the_same_queue_and_timeout() -> None:
    run = run_program("local", outputs=OUTPUTS, queue="3", requestTimeoutSeconds="90")
    for kind in (SERVER, WEB):
        inputs = run.one(kind).inputs
        assert (inputs["queue"], inputs["requestTimeoutSeconds"]) == (3, 90)


def test_the_servers_listen_on_loopback_only(local: Run) -> None:
    assert {local.one(kind).inputs["host"] for kind in (SERVER, WEB)} == {"127.0.0.1"}


def test_models_and_logs_are_in_the_checkouts_state_folder(local: Run) -> None:
    assert local.one(MODEL).inputs["destination"] == (ROOT / ".state/models").as_uri()
    assert local.one(SERVER).inputs["stateFolder"] == str(ROOT / ".state/server")
    assert local.one(WEB).inputs["stateFolder"] == str(ROOT / ".state/web")


def test_every_output_that_clients_read_is_exported(local: Run) -> None:
    assert local.outputs["page"] == "http://127.0.0.1:8080"
    assert local.outputs["endpoint"] == "http://127.0.0.1:8080"
    assert local.outputs["modelEndpoint"] == "http://127.0.0.1:8501"
    assert local.outputs["grpcEndpoint"] == "127.0.0.1:8500"
    assert local.outputs["modelName"] == "stable-diffusion"
    assert local.outputs["modelUri"] == "file:///models/abc"
    assert local.outputs["fingerprint"] == "abc"
    assert local.outputs["limits"]["maxSteps"] == 50


def test_a_changed_spec_reaches_the_model_and_the_limits() -> None:
    changed = run_program("local", outputs=OUTPUTS, steps="30", guidanceScale="5")
    assert changed.one(MODEL).inputs["spec"]["steps"] == 30
    assert changed.outputs["limits"]["defaultSteps"] == 30
    assert changed.outputs["limits"]["defaultGuidanceScale"] == 5


def test_a_changed_spec_changes_the_fingerprint(local: Run) -> None:
    changed = run_program("local", outputs=OUTPUTS, steps="30")
    assert changed.one(MODEL).inputs["fingerprint"] != local.one(MODEL).inputs["fingerprint"]


def test_the_stacks_defaults_equal_those_of_a_model_spec(local: Run) -> None:
    assert local.one(MODEL).inputs["spec"] == ModelSpec().to_json()


def test_a_negative_prompt_that_is_cut_is_a_warning_of_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", said.append)
    changed = run_program("local", outputs=OUTPUTS, negativePrompt="blurry, " * 40)
    (line,) = said
    assert line.startswith("negativePrompt: has 82 tokens")
    assert changed.one(MODEL).inputs["spec"]["negative_prompt"] == "blurry, " * 40


def test_an_invalid_setting_ends_the_program_with_one_line() -> None:
    with pytest.raises(pulumi.RunError) as error:
        run_program("local", steps="99")
    assert str(error.value) == (
        "steps: must be a whole number from 1 to 50, not '99'. "
        "In Pulumi.local.yaml, under `config:`, put `diffusion-serving:steps: auto`"
    )


def test_every_committed_stack_has_only_known_keys() -> None:
    from infra.settings import stack as settings

    for stack in STACKS:
        keys = {k.partition(":")[2] for k in stack_config(stack)}
        assert "target" in keys and keys <= settings.KEYS, stack


@pytest.mark.slow
def test_the_local_stack_imports_neither_tensorflow_nor_a_cloud_sdk_and_starts_in_time() -> None:
    cloud = {"pulumi_gcp", "pulumi_kubernetes", "google.auth", "google.cloud.storage"}
    heavy = {"tensorflow", "keras", *cloud}
    assert _program_seconds("local", heavy) < 5


@pytest.mark.slow
@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_gke_stacks_graph_takes_under_5_s_of_cpu_without_tensorflow(stack: str) -> None:
    heavy = {"tensorflow", "keras", "google.cloud.storage"}
    unused = {"pulumi_gcp.compute.instance", "pulumi_kubernetes.core.v1.Binding"}
    assert _program_seconds(stack, heavy | unused) < 5


def _program_seconds(stack: str, heavy: set[str]) -> float:
    """CPU time of the imports and the whole graph, with warm bytecode.

    The least of up to five runs: whatever else the machine does can only add to it.
    """
    code = (
        "import sys, time; sys.path.insert(0, '.');"
        "from render.recorder import run_program;"
        f"run_program({stack!r});"
        f"assert not {heavy!r} & set(sys.modules), {heavy!r} & set(sys.modules);"
        "print(time.process_time())"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    least = float("inf")
    for _ in range(5):
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        least = min(least, float(done.stdout.strip().splitlines()[-1]))
        if least < 5:
            break
    return least
