import time

import pytest

from prediction.errors import MAX_QUOTED_CHARACTERS, one_line


@pytest.mark.parametrize("unit", ["a", "\x01", "\n a", " "])
def test_quoting_megabytes_takes_no_time(unit: str) -> None:
    text = unit * (16_000_000 // len(unit))
    start = time.thread_time()
    line = one_line(text)
    assert time.thread_time() - start < 0.05
    assert len(line) <= MAX_QUOTED_CHARACTERS + 1
    assert line.endswith("…")


def test_a_short_text_is_quoted_whole_on_one_line() -> None:
    assert one_line(" two\r\nlines,\ta \x1b and a ☃ ") == r"two lines, a \x1b and a ☃"
