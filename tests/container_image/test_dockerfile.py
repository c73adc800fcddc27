"""web/Dockerfile makes what `up` makes: the same files, packages, base and way to run."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from container_image.settings import ENVIRONMENT, FOLDER, LOCK, PACKAGES, RUN
from container_image.sources import ROOT, sources
from tests.stacks import run_of

TEXT = (ROOT / "web" / "Dockerfile").read_text(encoding="utf-8")
STEPS = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\\\n\s*", "", TEXT).splitlines()
    if line and not line.startswith("#")
]


def only(step: str) -> str:
    (value,) = (value for name, value in STEPS if name == step)
    return value


def copied() -> Iterator[tuple[str, str]]:
    """Each file of the checkout that gets in, and where to."""
    last = max(number for number, (name, _) in enumerate(STEPS) if name == "FROM")
    for name, value in STEPS[last:]:
        if name != "COPY" or "--from" in value:
            continue
        *files, target = shlex.split(value)
        for file in files:
            if (ROOT / file).is_dir():
                for one in (ROOT / file).rglob("*"):
                    if one.is_file() and "__pycache__" not in one.parts:
                        yield str(one.relative_to(ROOT)), f"{target}/{one.relative_to(ROOT / file)}"
            else:
                assert target.endswith("/")
                yield file, f"{target}{Path(file).name}"


def test_every_file_of_the_image_is_copied_to_its_place() -> None:
    places = dict(copied())
    assert {str(file): f"/{FOLDER}/{file}" for file in sources()}.items() <= places.items()


def test_beyond_them_only_files_beside_them_are_copied() -> None:
    rooms = {PurePosixPath(place).parts[2] for _, place in copied()}
    assert rooms == {file.parts[0] for file in sources()}
    named = {file for file, _ in copied() if file.startswith(("console/", "model_export/"))}
    assert named <= {str(file) for file in sources()}


def test_the_packages_are_those_of_the_lock_and_nothing_else() -> None:
    install = only("RUN")
    assert f"COPY {LOCK} /" in TEXT
    for option in ("--no-deps", "--require-hashes", "--only-binary=:all:", f"/{LOCK.name}"):
        assert option in install
    assert f"COPY --from=packages /site /{PACKAGES}" in TEXT


def test_the_base_is_the_one_that_up_takes_with_the_same_python() -> None:
    run = run_of("dev")
    bases = [value for name, value in STEPS if name == "FROM"]
    python = run.one("WebImage").inputs["python"]
    assert bases[-1] == run.one("BaseImage").inputs["image"]
    assert f"python:{python}-slim AS packages" in bases[0]


def test_it_runs_as_the_image_of_up_does() -> None:
    assert dict(word.split("=", 1) for word in shlex.split(only("ENV"))) == ENVIRONMENT
    assert only("USER") == RUN["User"]
    assert only("WORKDIR") == RUN["WorkingDir"]
    assert json.loads(only("ENTRYPOINT")) == RUN["Entrypoint"]
    assert {f"{port}/tcp" for port in only("EXPOSE").split()} == set(RUN["ExposedPorts"])
