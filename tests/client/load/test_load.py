"""`load` against the fake server: requests and their timing, reports, and exit codes."""

from __future__ import annotations

import csv
import errno
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from client import (
    Client,
    ModelLoadingError,
    Picture,
    PictureRequest,
    QueueFullError,
    RequestTimeoutError,
)
from client.load.plan import TUTORIAL_PROMPTS, at_a_rate, at_a_time
from client.load.run import Load
from client.load.summary import summarize
from client.retry import until_deadline
from client.stacks.discovery import PROJECT_ROOT
from tests.client.commands import CommandLine, Ran
from tests.client.fake_serving import QUEUE_FULL, FakeServing, error

REQUEST = PictureRequest("x", "", 1, 3.0, 1)

LoadTest = Callable[..., Ran]


@pytest.fixture
def load(run: CommandLine, server: FakeServing) -> LoadTest:
    return lambda *options: run("load", "--endpoint", server.endpoint, *options)


@pytest.fixture
def drawn_in_turn(server: FakeServing) -> Iterator[list[int]]:
    """The server draws one picture at a time, in 20 ms. Yields how many requests it held."""
    one, counting, there, seen = threading.Lock(), threading.Lock(), [0], []

    def count(by: int) -> None:
        with counting:
            there[0] += by
            seen.append(there[0])

    def draw() -> None:
        count(1)
        with one:
            time.sleep(0.02)
        count(-1)

    server.before_predict = draw
    yield seen


def field(ran: Ran, name: str) -> str:
    """The value of a field in the head of the report."""
    (line,) = (text for text in ran.out.splitlines() if text.startswith(f"  {name}:"))
    return line.partition(":")[2].strip()


def test_fifty_requests_five_at_a_time_are_reported_in_full(
    load: LoadTest, server: FakeServing
) -> None:
    five = threading.Barrier(5, timeout=20)
    server.before_predict = lambda: (five.wait(), None)[1]
    ran = load()
    assert ran.code == 0, ran.err
    assert ran.err == ""
    assert field(ran, "Success") == "50 of 50 sent (100.0 %)"
    assert "  [200]         50 responses" in ran.out
    assert sorted(row["seed"] for row in server.rows) == list(range(1, 51))
    assert [row["prompt"] for row in sorted(server.rows, key=lambda row: row["seed"])] == (
        list(TUTORIAL_PROMPTS) * 10
    )
    assert float(field(ran, "Slowest").split()[0]) > 0
    assert "\t" not in ran.out


def test_all_requests_are_sent_when_the_workers_do_not_divide_them_evenly(
    load: LoadTest, server: FakeServing
) -> None:
    assert load("-n", "7", "-c", "3").code == 0
    assert len(server.rows) == 7
    assert load("-n", "2", "-c", "5").code == 0


def test_options_set_prompts_seeds_and_steps(load: LoadTest, server: FakeServing) -> None:
    Path("prompts.txt").write_text("a star\n\n  two circles \n", encoding="utf-8")
    load("-n", "3", "-c", "1", "--prompts", "prompts.txt", "--steps", "4", "--seed", "7")
    load("-n", "1", "--prompt", "a square", "--negative-prompt", "red", "--guidance-scale", "5")
    assert [row["prompt"] for row in server.rows] == ["a star", "two circles", "a star", "a square"]
    assert [row["seed"] for row in server.rows] == [7, 8, 9, 1]
    assert [row["num_steps"] for row in server.rows[:3]] == [4] * 3
    assert (server.rows[3]["negative_prompt"], server.rows[3]["guidance_scale"]) == ("red", 5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-n", "0"], "--requests must be from 1 to 1000000, not 0"),
        (["-c", "0"], "--concurrency must be from 1 to 1000, not 0"),
        (["-c", "1001"], "--concurrency must be from 1 to 1000, not 1001"),
        (["--rate", "0"], "--rate must be above 0 requests per second, not 0"),
        (["--rate", "nan"], "not nan"),
        (["--rate", "inf"], "not inf"),
        (["--rate", "1", "-c", "2"], "--rate and -c exclude each other"),
        (["--tutorial", "parallel", "-c", "2"], "leave out -c and --rate"),
        (["--tutorial", "sequential", "--rate", "2"], "leave out -c and --rate"),
        (["--tutorial", "parallel", "--stagger", "-1"], "--stagger must be 0 seconds or more"),
        (["--stagger", "1"], "--stagger needs --tutorial parallel"),
        (["--steps", "51"], "steps must be from 1 to 50, not 51"),
        (["--seed", "2147483640"], "would exceed the largest seed"),
        (["--prompts", "absent.txt"], "cannot read absent.txt: No such file"),
        (["--prompts", "empty.txt"], "empty.txt contains no prompts"),
        (["--prompts", "binary.txt"], "binary.txt is not UTF-8 text"),
        (["--csv", "no/such/folder.csv"], "give a file name in an existing folder"),
        (["--csv", "."], "give a file name in an existing folder"),
        (["--plot", "plot.gif"], "--plot plot.gif must end with .png"),
        (["--keep", "empty.txt"], "cannot write to empty.txt"),
        (["--timeout", "0"], "timeout must be above 0"),
    ],
)
def test_invalid_options_are_rejected_before_anything_is_sent(
    load: LoadTest, server: FakeServing, options: list[str], message: str
) -> None:
    Path("empty.txt").write_text("\n \n")
    Path("binary.txt").write_bytes(b"\xff\xfe\x00")
    ran = load(*options)
    assert ran.code == 3
    assert message in ran.error_line
    assert server.rows == []


def test_an_unreachable_service_is_a_one_line_error(run: CommandLine, free_port: int) -> None:
    ran = run("load", "--endpoint", f"http://127.0.0.1:{free_port}")
    assert ran.code == 4
    assert "connection refused" in ran.error_line


def test_a_loading_service_is_a_one_line_error(load: LoadTest, server: FakeServing) -> None:
    server.state = "LOADING"
    ran = load()
    assert ran.code == 5
    assert "still loading" in ran.error_line


def test_the_success_rate_is_over_all_requests_sent(load: LoadTest, server: FakeServing) -> None:
    def refuse_some() -> None:
        server.predict_reply = error(503, QUEUE_FULL) if len(server.rows) == 6 else None

    server.before_predict = refuse_some
    ran = load("-n", "8", "-c", "1")
    assert ran.code == 6
    assert field(ran, "Success") == "6 of 8 sent (75.0 %)"
    assert "  [200]         6 responses" in ran.out
    assert "  [503]         2 responses" in ran.out
    assert f"  [2]           {server.endpoint} is full (" in ran.out


def test_json_and_csv_hold_every_request(load: LoadTest, server: FakeServing) -> None:
    ran = load("-n", "4", "-c", "2", "--json", "--csv", "requests.csv")
    assert ran.code == 0
    document = json.loads(ran.out)
    assert document["summary"]["pictures"] == 4
    assert document["summary"]["statuses"] == {"200": 4}
    assert set(document["summary"]["percentiles"]) == {"10", "25", "50", "75", "90", "95", "99"}
    with Path("requests.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["number"] for row in rows] == ["1", "2", "3", "4"]
    for row, request in zip(rows, document["requests"], strict=True):
        assert float(row["latency_seconds"]) == request["latency_seconds"]
        assert row["endpoint"] == server.endpoint
        assert row["prompt"] == request["prompt"]
    assert document["usage"], "the fake server runs in this process, which listens at its port"
    assert document["usage"][0]["memory_bytes"] > 0


def test_the_plot_is_a_picture_with_panels_for_cpu_and_memory(load: LoadTest) -> None:
    ran = load("-n", "3", "--plot", "load.png")
    assert ran.code == 0
    assert "plot           load.png" in ran.err
    with Image.open("load.png") as image:
        assert image.format == "PNG"
        assert image.height > 800, "four panels"


def test_pictures_are_kept_with_a_contact_sheet(load: LoadTest) -> None:
    ran = load("-n", "9", "--prompt", "a star", "--keep", "kept")
    assert ran.code == 0
    assert "pictures       9 in kept" in ran.err
    names = sorted(path.name for path in Path("kept").iterdir())
    assert names == [*(f"a-star-{seed}.png" for seed in range(1, 10)), "contact-sheet.png"]
    with Image.open("kept/contact-sheet.png") as sheet:
        assert sheet.width == 7 * 140
        assert sheet.height == 2 * 178, "two rows"
    load("-n", "1", "--prompt", "b", "--keep", "kept")
    assert Path("kept/contact-sheet-2.png").exists(), "an earlier sheet stays"


def test_a_full_folder_costs_the_pictures_and_not_the_report(
    load: LoadTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = itertools.count(1)
    write = Path.write_bytes

    def full_after_two(path: Path, content: bytes) -> int:
        if path.parent == Path("kept") and next(writes) > 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full_after_two)
    ran = load("-n", "6", "--prompt", "a star", "--keep", "kept", "--csv", "requests.csv")
    assert field(ran, "Success") == "6 of 6 sent (100.0 %)"
    assert ran.err.count("No space left on device") == 1
    assert "pictures       2 in kept" in ran.err
    assert "error: 4 pictures were not saved: cannot write to kept: No space left" in ran.err
    assert ran.code == 3
    assert len(list(Path("kept").iterdir())) == 2


def test_a_folder_that_is_gone_costs_the_pictures_and_not_the_report(
    load: LoadTest, server: FakeServing
) -> None:
    def remove() -> None:
        Path("kept").rmdir()
        Path("kept").write_text("in the way")
        server.before_predict = None

    server.before_predict = remove
    ran = load("-n", "3", "-c", "1", "--keep", "kept")
    assert field(ran, "Success") == "3 of 3 sent (100.0 %)"
    assert "error: 3 pictures were not saved: cannot write to kept: File exists" in ran.err
    assert ran.code == 3


def test_a_file_that_cannot_be_written_costs_neither_the_report_nor_the_other_files(
    load: LoadTest, server: FakeServing
) -> None:
    def take_the_name() -> None:
        Path("requests.csv").mkdir()
        server.before_predict = None

    server.before_predict = take_the_name
    options = ("-n", "2", "-c", "1", "--csv", "requests.csv", "--keep", "kept")
    ran = load(*options)
    assert field(ran, "Success") == "2 of 2 sent (100.0 %)"
    assert "error: cannot write requests.csv: Is a directory" in ran.err
    assert "contact sheet  kept/contact-sheet.png" in ran.err
    assert ran.code == 3
    Path("requests.csv").rmdir()
    server.predict_reply = error(503, QUEUE_FULL)
    server.before_predict = take_the_name
    assert load(*options).code == 6, "failed requests come first"


def test_the_tutorials_parallel_run_starts_one_after_another(
    load: LoadTest, server: FakeServing
) -> None:
    arrivals, seen, go_on = itertools.count(1), [0], threading.Event()

    def draw_three_at_once() -> None:
        seen[0] = number = next(arrivals)
        if number == 3:
            time.sleep(0.5)  # the fourth is scheduled meanwhile
            seen.append(seen[0])
            go_on.set()
        assert go_on.wait(20)

    server.before_predict = draw_three_at_once
    ran = load("--tutorial", "parallel", "--stagger", "0.1", "--json")
    document = json.loads(ran.out)
    sent = [request["sent_seconds"] for request in document["requests"]]
    assert len(sent) == 5
    for when, planned in zip(sent, [0, 0.1, 0.2, 0.3, 0.3], strict=True):
        assert planned <= when < planned + 2
    assert seen == [5, 3], "how many came in all, and before the first three were drawn"
    assert "3 at a time" in document["summary"]["plan"]


def test_the_tutorials_sequential_run_is_one_at_a_time(
    load: LoadTest, server: FakeServing, drawn_in_turn: list[int]
) -> None:
    ran = load("--tutorial", "sequential")
    assert field(ran, "Success") == "5 of 5 sent (100.0 %)"
    assert max(drawn_in_turn) == 1


def test_at_a_rate_latency_is_measured_from_the_scheduled_time(server: FakeServing) -> None:
    """The server stalls for a while: every request scheduled meanwhile has waited."""
    server.hold = threading.Event()
    threading.Timer(0.5, server.hold.set).start()
    plan = at_a_rate([REQUEST] * 20, 100.0, seed=1)
    with Client(server.endpoint) as client:
        outcome = Load(client, plan).run()
    for job, result in zip(plan.jobs, outcome.results, strict=True):
        assert result.finished is not None
        assert result.latency_seconds == result.finished - job.at_seconds
        assert result.sent >= job.at_seconds
        assert result.finished > 0.4
    assert summarize(outcome).success_rate == 1.0


def test_at_a_rate_a_client_short_of_threads_counts_and_reports_the_delay(
    server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.load.plan.MAX_IN_FLIGHT", 1)
    server.before_predict = lambda: time.sleep(0.1)
    plan = at_a_rate([REQUEST] * 6, 1000.0, seed=1)
    with Client(server.endpoint) as client:
        summary = summarize(Load(client, plan).run())
    assert summary.slowest_seconds is not None
    assert summary.slowest_seconds > 0.5, "the last one waited for five others"
    assert summary.late >= 4
    assert summary.most_late_seconds > 0.4


def test_several_servers_share_the_load(run: CommandLine, server: FakeServing) -> None:
    second = FakeServing()
    try:
        ran = run(
            *("load", "-n", "20", "-c", "4"),
            *("--endpoint", server.endpoint, "--endpoint", second.endpoint),
        )
    finally:
        second.close()
    assert ran.code == 0
    assert "Server distribution:" in ran.out
    assert len(server.rows) + len(second.rows) == 20
    assert min(len(server.rows), len(second.rows)) >= 5


def test_progress_shows_what_is_done_and_estimates_the_rest(server: FakeServing) -> None:
    halfway, go_on = threading.Event(), threading.Event()

    def wait_at_the_third() -> None:
        if len(server.rows) == 2:
            halfway.set()
            go_on.wait(20)

    server.before_predict = wait_at_the_third
    with Client(server.endpoint) as client:
        run = Load(client, at_a_time([REQUEST] * 4, 1))
        thread = threading.Thread(target=run.run)
        thread.start()
        assert halfway.wait(20)
        line = run.line()
        go_on.set()
        thread.join()
    assert line.startswith("2 of 4 done, 1 in flight, ")
    assert line.endswith(" s left")


def test_a_503_is_retried_until_it_succeeds(load: LoadTest, server: FakeServing) -> None:
    asked = iter(range(100))

    def refuse_twice() -> None:
        server.predict_reply = error(503, QUEUE_FULL) if next(asked) < 2 else None

    server.before_predict = refuse_twice
    ran = load("-n", "3", "-c", "1", "--retry", "--csv", "requests.csv")
    assert re.fullmatch(
        r"2, in 1 requests: 1 pictures, the slowest after \d+\.\d{4} secs", field(ran, "Retries")
    )
    assert "Status code distribution after retries:\n  [200]         1 responses" in ran.out
    with Path("requests.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["retries"] for row in rows] == ["2", "0", "0"]
    assert [row["retry_status"] for row in rows] == ["200", "", ""]
    assert float(rows[0]["retry_finished_seconds"]) > float(rows[0]["finished_seconds"])


def test_first_answers_are_judged_whatever_the_retries_give(
    load: LoadTest, server: FakeServing
) -> None:
    """Success rate, status codes, latencies and exit code."""
    asked = iter(range(100))

    def refuse_the_first() -> None:
        server.predict_reply = error(503, QUEUE_FULL) if next(asked) == 0 else None

    server.before_predict = refuse_the_first
    ran = load("-n", "4", "-c", "1", "--retry", "--json")
    assert ran.code == 6
    document = json.loads(ran.out)
    summary = document["summary"]
    assert (summary["pictures"], summary["failed"], summary["success_rate"]) == (3, 1, 0.75)
    assert summary["statuses"] == {"200": 3, "503": 1}
    assert (summary["retries"], summary["retried"], summary["retried_pictures"]) == (1, 1, 1)
    assert summary["retry_statuses"] == {"200": 1}
    first = document["requests"][0]
    assert (first["status"], first["retry_status"], first["retry_error"]) == ("503", "200", "")
    assert len(server.rows) == 4


def test_after_ctrl_c_no_worker_asks_again(
    server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.predict_reply = error(503, QUEUE_FULL)
    monkeypatch.setattr("random.uniform", lambda _low, high: 30.0)
    asked: list[int] = []
    server.before_predict = lambda: asked.append(1)
    with Client(server.endpoint, timeout_seconds=300) as client:
        run = Load(client, at_a_time([REQUEST] * 4, 4), retry=True)

        def interrupt() -> bool:
            while "4 failed" not in run.line():
                time.sleep(0.01)
            raise KeyboardInterrupt

        monkeypatch.setattr(run._over, "wait", interrupt)
        outcome = run.run()
        for thread in threading.enumerate():
            if thread.name.startswith("load-"):
                thread.join(10)
    assert outcome.interrupted
    assert len(asked) == 4
    assert [result.retries for result in outcome.results] == [0] * 4


def test_nothing_is_retried_without_the_option(load: LoadTest, server: FakeServing) -> None:
    server.predict_reply = error(503, QUEUE_FULL)
    assert load("-n", "2").code == 6
    assert "Retries" not in load("-n", "2").out


def sending(client: Client) -> Callable[[float], Picture]:
    return lambda seconds: client.send(REQUEST, seconds)


def test_waits_grow_and_end_with_the_time_limit(
    server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.predict_reply = error(503, QUEUE_FULL)
    ranges: list[float] = []
    retries: list[int] = []

    def draw(low: float, high: float) -> float:
        assert low == 0
        ranges.append(high)
        return 0.0 if len(ranges) < 5 else high

    monkeypatch.setattr("random.uniform", draw)
    started = time.monotonic()
    with Client(server.endpoint, timeout_seconds=5) as client, pytest.raises(QueueFullError):
        until_deadline(client, sending(client), before_retry=lambda *_: retries.append(1))
    assert ranges == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert len(retries) == 4
    assert time.monotonic() - started < 5


def test_no_wait_is_longer_than_half_a_minute(
    server: FakeServing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    server.predict_reply = error(503, QUEUE_FULL)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 8:
            server.predict_reply = None

    with Client(server.endpoint, timeout_seconds=300) as client:
        until_deadline(client, sending(client), before_retry=lambda *_: None, sleep=sleep)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_only_transient_failures_are_retried(server: FakeServing) -> None:
    for reply, kind in (
        (error(504, "Timed out"), RequestTimeoutError),
        (error(429, "Run() timeout exceeded"), QueueFullError),
    ):
        server.predict_reply = reply
        with Client(server.endpoint) as client, pytest.raises(kind):
            until_deadline(client, sending(client), before_retry=lambda *_: pytest.fail("again"))


def test_a_loading_model_is_retried(server: FakeServing) -> None:
    server.state = "LOADING"
    with Client(server.endpoint) as client:

        def loaded(*_: object) -> None:
            server.state = "AVAILABLE"

        picture = until_deadline(
            client, sending(client), before_retry=loaded, sleep=lambda _seconds: None
        )
        assert picture.seed == 1
        server.state = "LOADING"
        with pytest.raises(ModelLoadingError):
            client.send(REQUEST)


def test_ctrl_c_stops_sending_and_reports_what_was_done(
    server: FakeServing, tmp_path: Path
) -> None:
    def hold_the_fourth() -> None:
        if len(server.rows) >= 3:
            server.hold = threading.Event()

    server.before_predict = hold_the_fourth
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "client", "load", "-n", "30", "-c", "1"),
            *("--endpoint", server.endpoint, "--csv", str(tmp_path / "requests.csv")),
        ],
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.arrived.wait(30)
        process.send_signal(2)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    ran = Ran(process.returncode, out, err)
    assert field(ran, "Success") == "3 of 4 sent (75.0 %)"
    assert field(ran, "Not sent") == "26"
    assert field(ran, "Unfinished") == "1 in flight"
    assert err.splitlines()[-1] == "interrupted: 3 of 30 requests succeeded"
    assert len((tmp_path / "requests.csv").read_text().splitlines()) == 5
    assert len(server.rows) == 3
