"""Finding the service through its stack: the command, its environment, and its output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from client import Client, InputRefusedError, Limits, Protocol, StackOutputError, read_stack
from client.errors import NotExposedError
from client.stacks.discovery import PROJECT_ROOT, for_stack
from client.stacks.engine import engine_command, stack_environment
from prediction.failures import Failures
from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing

LOCAL_VARIABLES = (
    "PULUMI_BACKEND_URL",
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION",
)

FAKE_ENGINE = """\
import json, os, pathlib, sys
here = pathlib.Path({here!r})
call = {{"argv": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ)}}
(here / "call.json").write_text(json.dumps(call))
sys.stdout.write((here / "stdout").read_text())
sys.stderr.write((here / "stderr").read_text())
sys.exit(int((here / "code").read_text()))
"""


class FakeEngine:
    """Stands in for `pulumi` and for the embedded engine; prints and exits as set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        (folder / "root" / "engine").mkdir(parents=True)
        program = FAKE_ENGINE.format(here=str(folder))
        pulumi = folder / "bin" / "pulumi"
        pulumi.write_text(f"#!{sys.executable}\n{program}")
        pulumi.chmod(0o755)
        (folder / "root" / "engine" / "__main__.py").write_text(program)
        self.answers({})

    @property
    def root(self) -> Path:
        """A project whose embedded engine is this fake."""
        return self.folder / "root"

    def answers(self, outputs: object, *, stderr: str = "", code: int = 0) -> None:
        text = outputs if isinstance(outputs, str) else json.dumps(outputs)
        (self.folder / "stdout").write_text(text)
        (self.folder / "stderr").write_text(stderr)
        (self.folder / "code").write_text(str(code))

    @property
    def call(self) -> Mapping[str, object]:
        return json.loads((self.folder / "call.json").read_text())

    @property
    def environment(self) -> dict[str, str]:
        environment = self.call["environment"]
        assert isinstance(environment, dict)
        return environment


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """A fake engine, in an environment that names none and has no `pulumi` on PATH."""
    for name in ("ENGINE", *LOCAL_VARIABLES, "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    folder = tmp_path / "fake"
    folder.mkdir()
    return FakeEngine(folder)


@pytest.fixture
def pulumi_on_path(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    monkeypatch.setenv("PATH", str(engine.folder / "bin"))
    return engine


OUTPUTS: dict[str, object] = {
    "endpoint": "http://127.0.0.1:8501",
    "grpcEndpoint": "127.0.0.1:8500",
    "modelName": "stable-diffusion",
    "modelUri": "file:///models/0123456789abcdef",
    "fingerprint": "0123456789abcdef",
    "limits": {
        "maxSteps": 40.0,
        "maxPromptBytes": 100,
        "maxPromptTokens": 77,
        "maxGuidanceScale": 12.5,
        "imageSize": 64,
        "defaultSteps": 10,
        "defaultGuidanceScale": 3,
        "queue": 2,
        "requestTimeoutSeconds": 90,
        "somethingElse": "is left alone",
    },
}


def test_the_official_cli_is_used_if_it_is_installed(pulumi_on_path: FakeEngine) -> None:
    pulumi_on_path.answers(OUTPUTS)
    outputs = read_stack("local", pulumi_on_path.root)
    assert outputs.endpoint == "http://127.0.0.1:8501"
    assert outputs.model_name == "stable-diffusion"
    assert outputs.fingerprint == "0123456789abcdef"
    assert outputs.model_uri == "file:///models/0123456789abcdef"
    assert outputs.limits == Limits(
        max_steps=40,
        max_prompt_bytes=100,
        max_guidance_scale=12.5,
        default_steps=10,
        default_guidance_scale=3.0,
        queue=2,
        request_timeout_seconds=90.0,
    )
    assert isinstance(outputs.limits.max_steps, int)
    assert pulumi_on_path.call["argv"] == ["stack", "output", "--json", "--stack", "local"]
    assert pulumi_on_path.call["cwd"] == str(pulumi_on_path.root)


def test_a_stack_with_a_web_service_names_it_and_its_model_server(engine: FakeEngine) -> None:
    page, model_server = "http://127.0.0.1:8080", "http://127.0.0.1:8501"
    engine.answers(
        OUTPUTS | {"page": page, "endpoint": page, "modelEndpoint": model_server},
    )
    outputs = read_stack("local", engine.root)
    assert outputs.protocol is Protocol.WEB
    assert outputs.endpoint_for(Protocol.WEB) == outputs.page == page
    assert outputs.endpoint_for(Protocol.REST) == model_server
    assert outputs.endpoint_for(Protocol.GRPC) == "grpc://127.0.0.1:8500"


def test_a_stack_whose_web_service_is_private_names_its_exposed_model_server(
    engine: FakeEngine,
) -> None:
    model_server = "http://203.0.113.1:8501"
    private = {"kubeconfigCommand": "gcloud x", "modelUri": "gs://b/m"}
    engine.answers(private | {"modelEndpoint": model_server})
    outputs = read_stack("dev", engine.root)
    assert outputs.endpoint_for(Protocol.REST) == model_server
    engine.answers(private)
    with pytest.raises(NotExposedError, match="web service is private: type `make page"):
        read_stack("dev", engine.root).endpoint_for(Protocol.REST)


def test_a_stack_with_a_public_page_alone_has_no_model_server_to_name(engine: FakeEngine) -> None:
    page = "http://203.0.113.1"
    outputs = OUTPUTS | {"page": page, "endpoint": page, "kubeconfigCommand": "gcloud x"}
    del outputs["grpcEndpoint"]
    engine.answers(outputs)
    stack = read_stack("dev", engine.root)
    assert stack.asks_for_keys and stack.endpoint_for(Protocol.WEB) == page
    for protocol in (Protocol.REST, Protocol.GRPC):
        with pytest.raises(StackOutputError, match="leave out --transport"):
            stack.endpoint_for(protocol)


def test_a_stack_without_a_web_service_names_its_model_server_only(engine: FakeEngine) -> None:
    engine.answers(OUTPUTS)
    outputs = read_stack("local", engine.root)
    assert (outputs.page, outputs.protocol) == ("", Protocol.REST)
    assert outputs.endpoint_for(Protocol.REST) == "http://127.0.0.1:8501"
    with pytest.raises(StackOutputError, match="has no web service: leave out --transport"):
        outputs.endpoint_for(Protocol.WEB)


def test_the_embedded_engine_is_used_if_the_cli_is_not_installed(engine: FakeEngine) -> None:
    engine.answers(OUTPUTS)
    assert read_stack("local", engine.root).limits.max_steps == 40
    assert engine.call["argv"] == ["stack", "output", "--json", "--stack", "local"]
    assert engine.call["cwd"] == str(engine.root)


def test_engine_embedded_bypasses_the_cli(
    pulumi_on_path: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE", "embedded")
    assert engine_command() == [sys.executable, "-m", "engine"]


def test_engine_pulumi_requires_the_cli(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE", "pulumi")
    with pytest.raises(StackOutputError, match="cannot run pulumi") as raised:
        read_stack("local", engine.root)
    assert "ENGINE=embedded" in str(raised.value)


def test_any_other_engine_is_refused(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE", "diesel")
    with pytest.raises(InputRefusedError, match="ENGINE must be pulumi or embedded, not 'diesel'"):
        read_stack("local", engine.root)


def test_the_local_stack_is_read_from_the_checkout(pulumi_on_path: FakeEngine) -> None:
    pulumi_on_path.answers(OUTPUTS)
    root = pulumi_on_path.root
    read_stack("local", root)
    environment = pulumi_on_path.environment
    assert environment["PULUMI_BACKEND_URL"] == f"file://{root}/.state"
    assert environment["PULUMI_CONFIG_PASSPHRASE"] == ""
    assert environment["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"
    assert not [name for name in LOCAL_VARIABLES if name in os.environ]


def test_the_local_stack_is_read_from_a_checkout_of_any_name() -> None:
    environment = stack_environment("local", Path("/a b#c%20d?e"), {})
    assert environment["PULUMI_BACKEND_URL"] == "file:///a b%23c%2520d%3Fe/.state"


def test_any_other_stack_is_read_with_the_users_own_login(pulumi_on_path: FakeEngine) -> None:
    pulumi_on_path.answers(OUTPUTS)
    read_stack("dev", pulumi_on_path.root)
    assert not [name for name in LOCAL_VARIABLES if name in pulumi_on_path.environment]
    assert pulumi_on_path.call["argv"] == ["stack", "output", "--json", "--stack", "dev"]


def test_the_users_own_variables_win() -> None:
    root = Path("/project")
    mine = {"PULUMI_BACKEND_URL": "file:///mine", "PULUMI_CONFIG_PASSPHRASE_FILE": "/secret"}
    environment = stack_environment("local", root, mine)
    assert environment["PULUMI_BACKEND_URL"] == "file:///mine"
    empty = stack_environment("local", root, {"PULUMI_BACKEND_URL": ""})
    assert empty["PULUMI_BACKEND_URL"] == "file:///project/.state"
    # A passphrase, even an empty one, would win over the file.
    assert "PULUMI_CONFIG_PASSPHRASE" not in environment


@pytest.mark.parametrize("name", ["local.json", "local.json.gz"])
def test_the_checkouts_own_stack_wins_over_variables_for_other_work(
    pulumi_on_path: FakeEngine, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As with make, which always uses the checkout's backend for the local stack."""
    root = pulumi_on_path.root
    stacks = root / ".state" / ".pulumi" / "stacks" / "diffusion-serving"
    stacks.mkdir(parents=True)
    (stacks / name).write_text("{}")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://other-work")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of other work")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", "/of/other/work")
    pulumi_on_path.answers(OUTPUTS)
    read_stack("local", root)
    environment = pulumi_on_path.environment
    assert environment["PULUMI_BACKEND_URL"] == f"file://{root}/.state"
    assert environment["PULUMI_CONFIG_PASSPHRASE"] == ""
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" not in environment
    read_stack("dev", root)
    assert pulumi_on_path.environment["PULUMI_BACKEND_URL"] == "s3://other-work"


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "no output `endpoint`"),
        ({"endpoint": ""}, "no output `endpoint`"),
        ({"endpoint": 8501}, "no output `endpoint`"),
        ([], "not a JSON object"),
        ("null", "not a JSON object"),
        ("", "not JSON"),
        ("warning: {", "not JSON"),
        (OUTPUTS | {"limits": 7}, "`limits` of stack local is not an object"),
        (OUTPUTS | {"limits": {"maxSteps": "50"}}, "limits.maxSteps is not a number"),
        (OUTPUTS | {"limits": {"maxSteps": True}}, "limits.maxSteps is not a number"),
        (OUTPUTS | {"limits": {"queue": -1}}, "limits.queue cannot be -1"),
        ('{"endpoint": "http://h", "limits": {"queue": NaN}}', "limits.queue cannot be nan"),
    ],
)
def test_unusable_outputs_are_a_one_line_error(
    engine: FakeEngine, outputs: object, message: str
) -> None:
    engine.answers(outputs)
    with pytest.raises(StackOutputError) as raised:
        read_stack("local", engine.root)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_outputs_of_an_older_program_get_the_specs_limits(engine: FakeEngine) -> None:
    engine.answers({"endpoint": "http://127.0.0.1:8501"})
    outputs = read_stack("local", engine.root)
    assert outputs.limits == Limits()
    assert outputs.model_name == "stable-diffusion"


def test_the_engines_error_message_is_quoted(engine: FakeEngine) -> None:
    engine.answers("", stderr="note\nerror: no stack named 'dev' found\n\n", code=255)
    with pytest.raises(StackOutputError) as raised:
        read_stack("dev", engine.root)
    assert "stack dev" in str(raised.value)
    assert "(no stack named 'dev' found)" in str(raised.value)
    assert "`make up STACK=dev`" in str(raised.value)


@pytest.mark.parametrize("stack", ["", "--show-secrets"])
def test_a_stack_name_that_looks_like_an_option_is_rejected(engine: FakeEngine, stack: str) -> None:
    with pytest.raises(InputRefusedError, match="is not a stack name"):
        read_stack(stack, engine.root)
    assert not (engine.folder / "call.json").exists()


@pytest.fixture
def deployed(
    pulumi_on_path: FakeEngine, server: FakeServing
) -> Callable[[Mapping[str, object]], None]:
    """Makes the fake server the stack's service, with these limits."""

    def deploy(limits: Mapping[str, object]) -> None:
        pulumi_on_path.answers(OUTPUTS | {"endpoint": server.endpoint, "limits": limits})

    return deploy


def test_generate_finds_the_service_and_its_limits_by_the_stack(
    run: CommandLine, server: FakeServing, deployed: Callable[[Mapping[str, object]], None]
) -> None:
    deployed({"defaultSteps": 7, "defaultGuidanceScale": 2.5, "maxSteps": 9})
    assert run("generate", "x").code == 0
    assert server.rows[0]["num_steps"] == 7
    assert server.rows[0]["guidance_scale"] == 2.5
    ran = run("generate", "x", "--steps", "10")
    assert ran.code == 3
    assert "from 1 to 9" in ran.error_line


def test_status_shows_the_stacks_fingerprint(
    run: CommandLine, server: FakeServing, deployed: Callable[[Mapping[str, object]], None]
) -> None:
    deployed({})
    ran = run("status", "--stack", "dev")
    assert ran.code == 0
    assert "fingerprint  0123456789abcdef\n" in ran.out
    assert "files        file:///models/0123456789abcdef\n" in ran.out
    assert server.endpoint in ran.out


def test_a_missing_stack_exits_with_4_and_says_what_to_do(
    run: CommandLine, pulumi_on_path: FakeEngine
) -> None:
    pulumi_on_path.answers("", stderr="error: no stack selected", code=255)
    for command in (["generate", "x"], ["status"]):
        ran = run(*command)
        assert ran.code == 4
        assert "`make up`" in ran.error_line
        assert "--endpoint" in ran.error_line


def test_someone_who_is_not_logged_in_is_told_to_log_in(
    run: CommandLine, pulumi_on_path: FakeEngine
) -> None:
    reason = "PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions"
    pulumi_on_path.answers("", stderr=f"error: {reason}", code=1)
    for command in (["generate", "x"], ["status"]):
        line = run(*command, "--stack", "dev").error_line
        assert "`pulumi login`" in line and "make up" not in line


@pytest.mark.parametrize("stack", ["local", "dev"])
@pytest.mark.parametrize("command", [["status"], ["generate", "x", "--no-retry"]])
def test_advice_names_the_stack(
    run: CommandLine, pulumi_on_path: FakeEngine, free_port: int, stack: str, command: list[str]
) -> None:
    pulumi_on_path.answers(OUTPUTS | {"endpoint": f"http://127.0.0.1:{free_port}"})
    line = run(*command, "--stack", stack).error_line
    named = "" if stack == "local" else " STACK=dev"
    assert f"`make status{named}`" in line and f"`make up{named}`" in line


def test_advice_without_a_stack_leaves_its_place_open() -> None:
    advice = Failures("http://203.0.113.7:8501", "x").not_connected_in_time()
    assert "`make up STACK=…`" in str(advice)
    assert "`make up STACK=dev`" in for_stack(str(advice), "dev")
    assert "`make up`" in for_stack(str(advice), "local")


def test_the_library_finds_the_service_too(
    server: FakeServing, deployed: Callable[[Mapping[str, object]], None]
) -> None:
    deployed({"requestTimeoutSeconds": 20})
    with Client.from_stack() as client:
        assert client.timeout_seconds == 25
        assert client.generate("a star", seed=1).seed == 1


def test_the_project_root_is_the_folder_above_the_client() -> None:
    assert (PROJECT_ROOT / "client" / "stacks" / "discovery.py").is_file()
