"""`bench.hey`: what is read from a report of hey 0.1.4."""

from __future__ import annotations

import math

import pytest

from bench.hey import HeyError, command, parse

MIXED = """
Summary:
  Total:\t3.0142 secs
  Slowest:\t0.0056 secs
  Fastest:\t0.0006 secs
  Average:\t0.0017 secs
  Requests/sec:\t6.6352
  
  Total data:\t30 bytes
  Size/request:\t2 bytes

Response time histogram:
  0.001 [1]\t|■■■■■■
  0.006 [14]\t|■■■■■■■■■■■


Latency distribution:
  10% in 0.0008 secs
  50% in 0.0011 secs
  90% in 0.0056 secs
  0% in 0.0000 secs
  0% in 0.0000 secs

Details (average, fastest, slowest):
  DNS+dialup:\t0.0003 secs, 0.0006 secs, 0.0056 secs
  resp wait:\t0.0012 secs, 0.0004 secs, 0.0053 secs

Status code distribution:
  [200]\t10 responses
  [503]\t5 responses

Error distribution:
  [5]\tPost "http://127.0.0.1:1/": context deadline exceeded (Client.Timeout exceeded)
"""  # noqa: W293
UNANSWERED = """
Summary:
  Total:\t0.0009 secs
  Slowest:\t0.0000 secs
  Fastest:\t0.0000 secs
  Average:\t NaN secs
  Requests/sec:\t4549.7613
  

Response time histogram:


Latency distribution:

Details (average, fastest, slowest):
  DNS+dialup:\t NaN secs, 0.0000 secs, 0.0000 secs

Status code distribution:

Error distribution:
  [4]\tPost "http://127.0.0.1:1/": dial tcp 127.0.0.1:1: connect: connection refused
"""  # noqa: W293


def test_a_report_is_read_with_its_answers_and_its_errors() -> None:
    report = parse(MIXED)
    assert report.total_seconds == 3.0142
    assert report.requests_per_second == 6.6352
    seconds = (report.fastest_seconds, report.average_seconds, report.slowest_seconds)
    assert seconds == (0.0006, 0.0017, 0.0056)
    assert report.statuses == {200: 10, 503: 5}
    assert list(report.errors.values()) == [5]


def test_percentiles_that_hey_could_not_tell_are_left_out() -> None:
    assert parse(MIXED).percentiles == {10: 0.0008, 50: 0.0011, 90: 0.0056}


def test_requests_without_an_answer_count_among_all() -> None:
    assert parse(MIXED).of_all(200) == "10 of 20"
    assert parse(MIXED).of_all(504) == "0 of 20"


def test_a_run_without_any_answer_is_read_too() -> None:
    report = parse(UNANSWERED)
    assert report.of_all(200) == "0 of 4"
    assert report.percentiles == report.statuses == {}
    assert math.isnan(report.average_seconds)


@pytest.mark.parametrize("text", ["", "-n cannot be less than -c.\n", MIXED[:40]])
def test_what_is_no_report_is_an_error_in_one_line(text: str) -> None:
    with pytest.raises(HeyError, match=r"\Athe report of `hey` has no line '.+': .+\Z"):
        parse(text)


def test_the_command_is_the_published_one() -> None:
    line = command("http://host/sdapi/v1/txt2img", {"prompt": "pretty dog"}, 50, 5)
    assert line == [
        *("hey", "-n", "50", "-c", "5", "-t", "180", "-m", "POST", "-T", "application/json"),
        *("-d", '{"prompt": "pretty dog"}', "http://host/sdapi/v1/txt2img"),
    ]
