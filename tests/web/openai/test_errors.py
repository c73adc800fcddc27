import pytest

from web.faults import fault, fault_of
from web.jobs.refusals import RETRYABLE, Reason, problem
from web.openai.errors import error_body, undrawn

JAVASCRIPT_SDK_LONGEST_SECONDS = 60


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_all_four_keys_and_a_status_that_sdks_know(reason: Reason) -> None:
    said = undrawn(problem(reason, "it is so: do this", 1e6)).fault
    error = error_body(said)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["message"], error["code"]) == ("it is so: do this", reason.value)
    if said.status >= 500:
        assert error["type"] == "server_error"
    else:
        status = 429 if reason is Reason.TOO_MANY else 400
        assert (said.status, error["type"]) == (status, "invalid_request_error")


@pytest.mark.parametrize("reason", Reason)
def test_sdks_repeat_what_passes_by_itself_and_nothing_else(reason: Reason) -> None:
    said = undrawn(problem(reason, "it is so", 1e6)).fault
    is_repeated = said.status >= 500 or said.status in (408, 409, 429)
    will_repeat = is_repeated and said.headers.get("x-should-retry") != "false"
    assert will_repeat == (reason in RETRYABLE)
    if will_repeat:
        assert said.retry_after_seconds is not None
        assert 1 <= said.retry_after_seconds <= JAVASCRIPT_SDK_LONGEST_SECONDS


def test_a_job_that_was_refused_is_answered_like_one_that_ended_so() -> None:
    full = problem(Reason.FULL, "the queue is full", 3)
    assert error_body(fault_of(full)) == error_body(undrawn(full).fault)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 413, 415, 500, 503])
def test_what_the_guards_refuse_has_all_four_keys(status: int) -> None:
    error = error_body(fault(status, "it is so"))["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
