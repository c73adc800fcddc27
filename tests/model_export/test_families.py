"""A family is one object: whoever needs to know something about a model asks it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from model_export import families
from model_export.families import fingerprint
from model_export.sources import WEIGHTS_LICENCE
from model_export.spec import ModelSpec
from model_export.stages import Stage

NAMES = tuple(families.BY_NAME)


@pytest.mark.parametrize("name", NAMES)
def test_a_familys_defaults_are_among_what_it_allows(name: str) -> None:
    family = families.family(name)
    assert family.name == name
    assert family.image_size in family.image_sizes
    assert set(family.peak_memory_bytes) == set(family.precisions)
    for peaks in family.peak_memory_bytes.values():
        assert max(peaks) == max(family.image_sizes)


@pytest.mark.parametrize("name", NAMES)
def test_a_family_knows_how_long_each_stage_of_its_export_takes(name: str) -> None:
    spec = ModelSpec.for_family(name, accept_licence=WEIGHTS_LICENCE)
    skipped = set() if families.family(name).needs_fetching(spec) else {Stage.FETCH}
    assert set(families.family(name).expected_seconds) == set(Stage) - skipped


def test_families_are_known_without_tensorflow_or_numpy() -> None:
    code = "import sys, model_export.spec; print({'tensorflow', 'keras', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("family", "values", "expected"),
    [
        ("demo", {}, "2c0fc4331355399f"),
        ("sd14", {}, "dc4f9c18b211568b"),
        ("sd14", {"precision": "bfloat16", "profile": "fast"}, "ae0576863d22e037"),
        ("sd14", {"weights": "random"}, "5995f6598ef8fe45"),
        ("sd14", {"weights": "random", "sampler": "lcm"}, "a9c6fd0f19b0f7d3"),
        ("sd14", {"weights": "random", "sampler": "euler_trailing"}, "d4221208c5c6e926"),
        ("sd14", {"weights": "random", "precision": "bfloat16"}, "7ed0c489ff78118a"),
    ],
)
def test_published_models_keep_their_fingerprints(
    family: str, values: dict[str, str], expected: str
) -> None:
    spec = ModelSpec.for_family(family, accept_licence=WEIGHTS_LICENCE, **values)
    assert fingerprint(spec) == expected
