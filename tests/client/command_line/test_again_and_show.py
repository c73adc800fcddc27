"""`again` reproduces a saved picture and compares; `show` prints the values in its file."""

from __future__ import annotations

from pathlib import Path

from prediction import png
from tests.client.commands import CommandLine
from tests.client.fake_serving import FakeServing, picture_png


def made(run: CommandLine, server: FakeServing) -> str:
    ran = run(
        *("generate", "two stars\x1b[2J", "--seed", "9", "--steps", "8"),
        *("--negative-prompt", "red", "--guidance-scale", "2.25", "--endpoint", server.endpoint),
    )
    assert ran.code == 0
    return ran.out.split("  ")[0]


def test_the_same_model_makes_equal_pixels(run: CommandLine, server: FakeServing) -> None:
    path = made(run, server)
    before = Path(path).read_bytes()
    ran = run("again", path, "--endpoint", server.endpoint)
    assert ran.code == 0
    assert server.rows[0] == server.rows[1]
    assert ran.out.splitlines()[1:] == ["pixels  equal"]
    assert ran.out.startswith("out/two-stars-2j-9-2.png")
    assert Path(path).read_bytes() == before
    assert Path("out/two-stars-2j-9-2.png").read_bytes() == before


def test_another_model_is_named_and_its_pixels_compared(
    run: CommandLine, server: FakeServing
) -> None:
    path = made(run, server)
    content = Path(path).read_bytes()
    row = server.rows[0] | {"seed": 1}
    Path(path).write_bytes(png.with_text(picture_png(row), png.read_text(Path(path))))
    assert Path(path).read_bytes() != content
    server.fingerprint = "another-model"
    ran = run("again", path, "--endpoint", server.endpoint)
    assert ran.code == 0
    assert ran.out.splitlines()[1:] == [
        "model   another-model; the file is from another model, 0123456789abcdef",
        "pixels  different",
    ]


def test_a_file_with_values_out_of_range_is_rejected(run: CommandLine, server: FakeServing) -> None:
    path = made(run, server)
    text = png.read_text(Path(path)) | {"steps": "1000"}
    Path(path).write_bytes(png.with_text(picture_png({}), text))
    ran = run("again", path, "--endpoint", server.endpoint)
    assert ran.code == 3
    assert "steps must be from 1 to 50" in ran.error_line


def test_show_prints_every_chunk_and_no_control_codes(
    run: CommandLine, server: FakeServing
) -> None:
    ran = run("show", made(run, server))
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "prompt             two stars\\x1b[2J",
        "negative_prompt    red",
        "seed               9",
        "steps              8",
        "guidance_scale     2.25",
        "model_fingerprint  0123456789abcdef",
        "model_profile      exact",
    ]


def test_show_of_a_picture_without_text_exits_with_3(run: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(picture_png({}))
    ran = run("show", "a.png")
    assert ran.code == 3
    assert ran.error_line == "error: a.png has no text chunks: choose a file that `generate` saved"


def test_files_that_are_not_pictures_exit_with_3(run: CommandLine, server: FakeServing) -> None:
    Path("a.png").write_text("hello")
    for argv in (["show", "a.png"], ["again", "a.png"], ["again", "none.png"]):
        ran = run(*argv, *(["--endpoint", server.endpoint] if argv[0] == "again" else []))
        assert ran.code == 3
        assert argv[1] in ran.error_line
