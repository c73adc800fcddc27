"""`auto`: bfloat16 where a machine is fast in it, float32 elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.settings.machines import MACHINE_TYPES
from model_export import precision
from model_export.spec import ModelSpec


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("n2-standard-4", "float32"),
        ("n2-highmem-16", "float32"),
        ("n2d-standard-8", "float32"),
        ("e2-standard-4", "float32"),
        ("c2-standard-8", "float32"),
        ("c3-standard-8", "bfloat16"),
        ("c3-highmem-22", "bfloat16"),
        ("c3d-standard-8", "bfloat16"),
        ("c4-standard-8", "bfloat16"),
        ("c4d-standard-8", "bfloat16"),
        ("n4-standard-8", "bfloat16"),
    ],
)
def test_a_machine_type_gets_its_faster_precision(machine: str, expected: str) -> None:
    assert precision.of_machine_type(machine, "sd14") == expected


def test_the_demo_model_is_float32_everywhere() -> None:
    assert {precision.of_machine_type(name, "demo") for name in MACHINE_TYPES} == {"float32"}


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("AuthenticAMD", "fpu avx2 avx512_bf16 fma", "bfloat16"),
        ("GenuineIntel", "fpu avx2 avx512_bf16 fma", "float32"),
        ("GenuineIntel", "fpu avx512_bf16 amx_bf16 amx_tile", "bfloat16"),
        ("GenuineIntel", "fpu avx2 avx512f avx512_vnni", "float32"),
        ("", "", "float32"),
    ],
)
def test_this_machine_gets_its_processors_faster_precision(
    vendor: str, flags: str, expected: str, tmp_path: Path
) -> None:
    info = tmp_path / "cpuinfo"
    one = f"processor\t: 0\nvendor_id\t: {vendor}\nflags\t\t: {flags}\nbogomips\t: 1\n\n"
    info.write_text(one + one.replace("processor\t: 0", "processor\t: 1"))
    assert precision.of_this_machine("sd14", info) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "bfloat16"),
        ({"steps": 1}, "bfloat16"),
        ({"sampler": "lcm"}, "bfloat16"),
        ({"sampler": "lcm", "steps": 1}, "float32"),
        ({"sampler": "tcd", "steps": 1}, "float32"),
        ({"sampler": "euler_trailing"}, "float32"),
        ({"sampler": "euler_trailing", "steps": 2}, "bfloat16"),
        ({"profile": "instant"}, "bfloat16"),
        ({"profile": "instant", "steps": 1}, "float32"),
        ({"profile": "instant", "max_steps": 1}, "float32"),
    ],
)
def test_auto_keeps_bfloat16s_error_out_of_pictures_of_one_step(
    values: dict[str, Any], expected: str
) -> None:
    spec = ModelSpec.for_family("sd14", weights="random", **values)
    assert precision.chosen_for(spec, "bfloat16").precision == expected
    assert precision.chosen_for(spec, "float32") == spec


def test_an_unknown_processor_gets_float32(tmp_path: Path) -> None:
    assert precision.of_this_machine("sd14", tmp_path / "none") == "float32"
