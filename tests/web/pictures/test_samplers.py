"""The samplers' names in A1111's words."""

from __future__ import annotations

import pytest

from model_export.spec import SAMPLERS
from web.pictures import samplers


def test_every_sampler_has_a_name_that_clients_of_a1111_know() -> None:
    assert set(samplers.NAMES) == set(SAMPLERS)


@pytest.mark.parametrize(
    ("sampler", "name"),
    [
        ("lcm", ("LCM", "Automatic")),
        ("tcd", ("TCD", "Automatic")),
        ("euler_trailing", ("Euler", "SGM Uniform")),
        ("another model's", ("another model's", "Automatic")),
    ],
)
def test_a_sampler_for_few_steps_is_called_what_they_call_it(
    sampler: str, name: tuple[str, str]
) -> None:
    assert samplers.known_name(sampler) == name
