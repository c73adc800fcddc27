"""Every failure of `generate`: one line that says what to do, and its exit code."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from client.stacks.discovery import PROJECT_ROOT
from model_export.spec import SEED_LIMIT
from tests.client.commands import CommandLine
from tests.client.fake_serving import QUEUE_FULL, FakeServing, document, error

USAGE, REFUSED, UNREACHABLE, LOADING, FULL, TIMED_OUT = 2, 3, 4, 5, 6, 7

GOOD_ROW = {
    "seed": 1,
    "num_steps": 20,
    "prompt_tokens": 3,
    "truncated": False,
    "fingerprint": "0123456789abcdef",
}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "0"], "steps must be from 1 to 50, not 0"),
        (["--steps", "51"], "steps must be from 1 to 50, not 51"),
        (["--steps", "-1"], "steps must be from 1 to 50, not -1"),
        (["--guidance-scale", "0.5"], "guidance scale must be from 1 to 30, not 0.5"),
        (["--guidance-scale", "31"], "guidance scale must be from 1 to 30, not 31"),
        (["--guidance-scale", "nan"], "guidance scale must be from 1 to 30, not nan"),
        (["--guidance-scale", "inf"], "guidance scale must be from 1 to 30, not inf"),
        (["--seed", "-1"], f"seed must be from 0 to {SEED_LIMIT - 1}, not -1"),
        (["--seed", str(SEED_LIMIT)], f"seed must be from 0 to {SEED_LIMIT - 1}"),
        (["--seed", str(SEED_LIMIT - 2), "--count", "3"], "would exceed the largest seed"),
        (["--count", "0"], "--count must be 1 or more, not 0"),
        (["--timeout", "0"], "timeout must be above 0 and at most 86400 seconds, not 0"),
        (["--timeout", "nan"], "at most 86400 seconds, not nan"),
        (["--timeout", "1e300"], "at most 86400 seconds, not 1e+300"),
        (["--negative-prompt", "x" * 8193], "the negative prompt is 8193 bytes long"),
        (["--negative-prompt", "\udcff"], "the negative prompt is not valid UTF-8"),
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_is_sent(
    run: CommandLine, server: FakeServing, options: list[str], message: str
) -> None:
    ran = run("generate", "a star", "--endpoint", server.endpoint, *options)
    assert ran.code == REFUSED
    assert message in ran.error_line
    assert server.rows == []
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("x" * 8193, "the prompt is 8193 bytes long, but the limit is 8192"),
        ("ß" * 4097, "the prompt is 8194 bytes long, but the limit is 8192"),
        ("ab\udc80", "the prompt is not valid UTF-8 at character 3"),
        ("a\0b", "the prompt contains a NUL character"),
    ],
)
def test_a_prompt_that_cannot_be_sent_is_refused(
    run: CommandLine, server: FakeServing, prompt: str, message: str
) -> None:
    ran = run("generate", prompt, "--endpoint", server.endpoint)
    assert ran.code == REFUSED
    assert message in ran.error_line
    assert server.rows == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "  ",
        "ftp://127.0.0.1:1",
        "http://",
        "http://:8501",
        "http://h:99999",
        "http://h:x",
        "http://h/?a=b",
        "http://a b",
        "http://[::1",
        "h:0",
        "http://h\x1b[2J",
        "http://.example",
        "http://*",
    ],
)
def test_an_invalid_endpoint_is_rejected(run: CommandLine, endpoint: str) -> None:
    ran = run("generate", "x", "--endpoint", endpoint)
    assert ran.code == REFUSED
    assert "endpoint" in ran.error_line
    assert "http://127.0.0.1:8501" in ran.error_line
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    "argv",
    [
        ["generate"],
        ["generate", "a", "--prompt", "b"],
        ["generate", "a", "--steps", "many"],
        ["generate", "a", "--seed", "1.5"],
        ["generate", "a", "b"],
        ["generate", "a", "--guidance", "5"],
        ["paint", "a"],
        [],
    ],
)
def test_a_usage_error_exits_with_2_and_one_line(run: CommandLine, argv: list[str]) -> None:
    ran = run(*argv)
    assert ran.code == USAGE
    assert "--help" in ran.error_line


def test_a_server_that_is_down_is_unreachable(run: CommandLine, free_port: int) -> None:
    ran = run("generate", "x", "--no-retry", "--endpoint", f"http://127.0.0.1:{free_port}")
    assert ran.code == UNREACHABLE
    assert "connection refused" in ran.error_line
    assert "`make status`" in ran.error_line
    assert "`make up`" in ran.error_line


def test_a_host_that_does_not_exist_is_unreachable(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", unknown)
    ran = run("generate", "x", "--endpoint", "http://no-such-host.invalid:8501")
    assert ran.code == UNREACHABLE
    assert "no-such-host.invalid:8501 (name or service not known)" in ran.error_line


def test_a_dropped_connection_is_unreachable(run: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(10)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        ran = run(
            "generate", "x", "--no-retry", "--endpoint", f"127.0.0.1:{listener.getsockname()[1]}"
        )
        thread.join()
    assert ran.code == UNREACHABLE
    assert "`make status`" in ran.error_line


def test_a_server_that_is_loading_says_so(run: CommandLine, server: FakeServing) -> None:
    server.state = "LOADING"
    ran = run("generate", "x", "--no-retry", "--endpoint", server.endpoint)
    assert ran.code == LOADING
    assert "still loading 'stable-diffusion'" in ran.error_line


def test_a_404_while_the_model_starts_means_loading(run: CommandLine, server: FakeServing) -> None:
    server.state = "START"
    server.predict_reply = error(404, "Servable not found for request: Latest(stable-diffusion)")
    assert run("generate", "x", "--no-retry", "--endpoint", server.endpoint).code == LOADING


def test_a_server_that_waits_for_its_first_model_is_loading(
    run: CommandLine, server: FakeServing
) -> None:
    server.predict_reply = error(503, "Model is not loaded: no version of it has been found yet")
    server.status_reply = error(404, "Could not find any versions of model stable-diffusion")
    assert run("generate", "x", "--no-retry", "--endpoint", server.endpoint).code == LOADING


@pytest.mark.parametrize(
    ("status", "message"),
    [(503, QUEUE_FULL), (429, "Run() timeout exceeded while waiting in batching queue")],
)
def test_a_full_queue_is_reported(
    run: CommandLine, server: FakeServing, status: int, message: str
) -> None:
    server.predict_reply = error(status, message)
    ran = run("generate", "x", "--no-retry", "--endpoint", server.endpoint)
    assert ran.code == FULL
    assert message[:60] in ran.error_line
    assert "try again" in ran.error_line


def test_a_model_that_failed_to_load_is_not_loading(run: CommandLine, server: FakeServing) -> None:
    server.predict_reply = error(503, "not available")
    server.status_reply = document(
        200,
        {
            "model_version_status": [
                {
                    "version": "1",
                    "state": "END",
                    "status": {"error_code": "DATA_LOSS", "error_message": "bad\nwarm-up"},
                }
            ]
        },
    )
    ran = run("generate", "x", "--endpoint", server.endpoint)
    assert ran.code == UNREACHABLE
    assert "bad warm-up" in ran.error_line
    assert "`make doctor`" in ran.error_line


def test_a_proxys_503_does_not_mean_a_full_queue(run: CommandLine, server: FakeServing) -> None:
    server.predict_reply = server.status_reply = (503, b"<html>no healthy upstream</html>")
    ran = run("generate", "x", "--no-retry", "--endpoint", server.endpoint)
    assert ran.code == UNREACHABLE
    assert "no healthy upstream" in ran.error_line


def test_an_unknown_model_name_is_reported(run: CommandLine, server: FakeServing) -> None:
    ran = run("generate", "x", "--endpoint", server.endpoint, "--model-name", "other/one")
    assert ran.code == UNREACHABLE
    assert "serves no model 'other/one'" in ran.error_line
    assert "--model-name" in ran.error_line


def test_the_servers_rejection_is_quoted(run: CommandLine, server: FakeServing) -> None:
    server.predict_reply = error(400, "JSON Value: 1 Type: Number is not\n of expected type")
    ran = run("generate", "x", "--endpoint", server.endpoint)
    assert ran.code == REFUSED
    assert "JSON Value: 1 Type: Number is not of expected type" in ran.error_line


def test_the_servers_timeout_is_a_timeout(run: CommandLine, server: FakeServing) -> None:
    server.predict_reply = error(504, "Timed out waiting for notification")
    ran = run("generate", "x", "--endpoint", server.endpoint)
    assert ran.code == TIMED_OUT
    assert "fewer steps" in ran.error_line


def test_the_clients_own_timeout_is_a_timeout(run: CommandLine, server: FakeServing) -> None:
    server.hold = threading.Event()
    ran = run("generate", "x", "--endpoint", server.endpoint, "--timeout", "0.2")
    assert ran.code == TIMED_OUT
    assert re.search(r"within 0\.[12] s: ", ran.error_line)  # the model was asked before
    assert "--timeout" in ran.error_line


def test_a_slow_response_is_cut_off_at_the_timeout(run: CommandLine, server: FakeServing) -> None:
    server.write_pause_seconds = 0.05
    ran = run("generate", "x", "--endpoint", server.endpoint, "--timeout", "0.3")
    assert ran.code == TIMED_OUT


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><body>It works!</body></html>",
        b"\xff\xfe\x00\x1b[2J",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'{"predictions": []}',
        b'{"predictions": [{}, {}]}',
        b'{"predictions": [[1, 2]]}',
        b'{"outputs": {}}',
        json.dumps({"predictions": [GOOD_ROW]}).encode(),
        json.dumps({"predictions": [GOOD_ROW | {"image_bytes": {"b64": "!"}}]}).encode(),
        json.dumps({"predictions": [GOOD_ROW | {"image_bytes": {"b64": "aGVsbG8="}}]}).encode(),
    ],
)
def test_a_response_that_is_not_tf_servings_is_a_one_line_error(
    run: CommandLine, server: FakeServing, content: bytes
) -> None:
    server.predict_reply = (200, content)
    ran = run("generate", "x", "--endpoint", server.endpoint)
    assert ran.code == UNREACHABLE
    assert "no picture" in ran.error_line
    assert len(ran.error_line) < 600
    assert "\x1b" not in ran.err
    assert list(Path("out").iterdir()) == []


@pytest.mark.parametrize("key", ["seed", "num_steps", "prompt_tokens", "truncated", "fingerprint"])
@pytest.mark.parametrize("value", [None, 1.5, [1]])
def test_an_output_of_the_wrong_type_is_rejected(
    run: CommandLine, server: FakeServing, key: str, value: object
) -> None:
    row = {
        "prompt": "x",
        "negative_prompt": "",
        "num_steps": 20,
        "guidance_scale": 4.0,
        "seed": 1,
    }
    for changes, code in (({}, 0), ({key: value}, UNREACHABLE)):
        prediction = server.prediction(row) | changes
        server.predict_reply = document(200, {"predictions": [prediction]})
        assert run("generate", "x", "--endpoint", server.endpoint).code == code


@pytest.mark.parametrize("status", [201, 302, 401, 403, 404, 405, 409, 499, 500, 501, 502])
def test_any_other_status_is_one_line_with_the_servers_message(
    run: CommandLine, server: FakeServing, status: int
) -> None:
    server.predict_reply = error(status, "the words of the server")
    ran = run("generate", "x", "--no-retry", "--endpoint", server.endpoint)
    assert ran.code == UNREACHABLE
    assert "the words of the server" in ran.error_line


def test_an_oversized_response_is_not_read_to_the_end(
    run: CommandLine, server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.transports.http_connections.MAX_ANSWER_BYTES", 1000)
    server.predict_reply = (200, b" " * 200_000)
    ran = run("generate", "x", "--endpoint", server.endpoint)
    assert ran.code == UNREACHABLE
    assert "more than 1000 bytes" in ran.error_line


def test_an_out_folder_that_is_a_file_is_refused_before_the_wait(
    run: CommandLine, server: FakeServing
) -> None:
    Path("taken").write_text("x")
    ran = run("generate", "x", "--endpoint", server.endpoint, "--out", "taken")
    assert ran.code == REFUSED
    assert "cannot write to taken" in ran.error_line
    assert server.rows == []


def test_pictures_before_a_failure_stay(run: CommandLine, server: FakeServing) -> None:
    def fill_up() -> None:
        if server.rows:
            server.predict_reply = error(503, QUEUE_FULL)

    server.before_predict = fill_up
    ran = run(
        *("generate", "x", "--seed", "1", "--count", "3", "--no-retry"),
        *("--endpoint", server.endpoint),
    )
    assert ran.code == FULL
    assert ran.out.startswith("out/x-1.png  seed 1")
    assert [path.name for path in Path("out").iterdir()] == ["x-1.png"]


def test_ctrl_c_keeps_the_finished_pictures_and_ends_with_130(
    server: FakeServing, tmp_path: Path
) -> None:
    def hold_the_second() -> None:
        if server.rows:
            server.hold = threading.Event()

    server.before_predict = hold_the_second
    options = ["--seed", "1", "--count", "3", "--endpoint", server.endpoint]
    process = subprocess.Popen(
        [sys.executable, "-m", "client", "generate", "x", *options, "--out", str(tmp_path)],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.arrived.wait(20)
        process.send_signal(2)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert out.startswith(f"{tmp_path}/x-1.png  seed 1")
    assert err == f"interrupted: 1 of 3 pictures saved in {tmp_path}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["x-1.png"]
