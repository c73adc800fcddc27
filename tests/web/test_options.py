"""The command line of `python -m web`."""

from __future__ import annotations

import pytest

from web.options import Options, parse

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
        metrics_port=0,
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


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_it_listens_on_loopback(host: str) -> None:
    assert parse([SERVER, f"--host={host}"]).host == host


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
        ("--unknown", "--unknown"),
    ],
)
def test_a_wrong_option_is_one_line_that_says_what_to_give(
    argument: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refusal(capsys, SERVER, argument)


def test_without_a_model_server_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--model-server" in refusal(capsys)
