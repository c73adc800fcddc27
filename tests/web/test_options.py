"""The command line of `python -m web`."""

from __future__ import annotations

import pytest

from web.options import Options, parse
from web.roles import Role

SERVER = "--model-server=127.0.0.1:8500"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exited:
        parse(arguments)
    assert exited.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_model_server_is_enough() -> None:
    assert parse([SERVER]) == Options(("127.0.0.1:8500",))


def test_every_option_is_read() -> None:
    options = parse(
        [
            *(SERVER, "--model-server", "grpc://localhost:8600", SERVER),
            *("--keys-file=keys.json", "--jobs-per-key=2", "--metrics-host=0.0.0.0"),
            *("--model-name=other", "--host=::1", "--port=0", "--metrics-port=0", "--queue=3"),
            *("--deadline=2.5", "--keep-results=60", "--max-count=2", "--max-cost=1000"),
            *("--max-body=2048", "--stop-timeout=5", "--stop-unless-kept"),
            *("--allow-origin=https://Studio.example:443", "--allow-origin=http://[::1]:3000"),
        ]
    )
    assert options == Options(
        model_servers=("127.0.0.1:8500", "localhost:8600"),
        model_name="other",
        host="::1",
        port=0,
        metrics_host="0.0.0.0",
        metrics_port=0,
        keys_file="keys.json",
        jobs_per_key=2,
        queue=3,
        deadline_seconds=2.5,
        keep_results_seconds=60.0,
        allowed_origins=("https://studio.example", "http://[::1]:3000"),
        max_count=2,
        max_cost=1000,
        max_body_bytes=2048,
        stop_seconds=5.0,
        stop_unless_kept=True,
    )


def test_a_worker_has_no_queue_and_keeps_no_results() -> None:
    options = parse([SERVER, "--role=worker", "--queue=3"])
    assert options.role is Role.WORKER
    assert (options.queue, options.keep_results_seconds) == (0, 0)


def test_a_front_is_told_of_its_workers() -> None:
    options = parse(
        [
            *("--role=front", "--worker-url=http://workers.example/", "--workers=3"),
            *("--model-description=model.json", "--worker-key-file=key"),
        ]
    )
    assert options == Options(
        (),
        role=Role.FRONT,
        worker_url="http://workers.example",
        workers=3,
        model_description="model.json",
        worker_key_file="key",
    )


FRONT = ("--role=front", "--worker-url=http://w.example", "--model-description=model.json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--role=front", "--worker-url=http://w.example"), "needs --model-description"),
        (("--role=front", "--model-description=model.json"), "needs --worker-url"),
        ((*FRONT, SERVER), "a front has no --model-server"),
        ((SERVER, "--worker-url=http://w.example"), "--worker-url is a front's"),
        ((SERVER, "--role=worker", "--worker-key-file=key"), "--worker-key-file is a front's"),
        (("--role=worker",), "--model-server is missing"),
        ((SERVER, "--model-server=localhost:1", "--role=worker"), "draws on one model server"),
        (("--role=front", "--worker-url=grpc://w:1"), "no address of workers: give one such as"),
        ((SERVER, "--role=other"), "invalid choice: 'other'"),
        ((*FRONT, "--workers=0"), "is not a number from 1 to 1000"),
    ],
)
def test_options_of_another_role_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refusal(capsys, *arguments)


def test_the_help_has_an_example_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        parse(["--help"])
    assert exited.value.code == 0
    text = capsys.readouterr().out
    assert "-m web --model-server 127.0.0.1:8500" in text
    assert "exit codes:" in text


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.2", "8.8.8.8", "example.com", "", "127.0.0.1:80"]
)
def test_it_refuses_to_listen_where_others_could_reach_it(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "127.0.0.1 or ::1" in refusal(capsys, SERVER, f"--host={host}")


@pytest.mark.parametrize("option", ["--host", "--metrics-host"])
def test_without_keys_no_port_can_be_reached_by_others(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(capsys, SERVER, f"{option}=0.0.0.0")
    assert f"argument {option}: " in said
    assert "--keys-file" in said


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_it_listens_on_loopback(host: str) -> None:
    assert parse([SERVER, f"--host={host}"]).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2"])
def test_with_keys_it_listens_anywhere_and_its_metrics_too(host: str) -> None:
    options = parse([SERVER, f"--host={host}", "--keys-file=keys.json"])
    assert (options.host, options.metrics_host) == (host, host)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--port=65536", "from 0 to 65535"),
        ("--port=-1", "from 0 to 65535"),
        ("--port=8080.5", "from 0 to 65535"),
        ("--metrics-port=8080", "--port and --metrics-port are both 8080"),
        ("--queue=0", "from 1"),
        ("--deadline=nan", "number of seconds"),
        ("--deadline=0", "number of seconds"),
        ("--keep-results=inf", "number of seconds"),
        ("--model-server=127.0.0.1", "127.0.0.1:8500"),
        ("--model-server=http://127.0.0.1:8501", "gRPC address: give one such as 127.0.0.1:8500 ("),
        ("--allow-origin=*", "https://studio.example"),
        ("--allow-origin=https://studio.example/", "https://studio.example"),
        ("--allow-origin=null", "https://studio.example"),
        ("--keys-file=", "the path is empty"),
        ("--jobs-per-key=0", "from 1"),
        ("--unknown", "--unknown"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_to_give(
    argument: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, SERVER, argument)


def test_without_a_model_server_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--model-server" in refusal(capsys)
