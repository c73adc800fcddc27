"""What a picture's file says of how it was made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from prediction import recipe
from prediction.limits import PictureRequest

MADE = recipe.Recipe(PictureRequest("a ☆\n", "red", 20, 7.5, 9), "0123456789abcdef")


def test_both_forms_are_read_back() -> None:
    assert recipe.read({recipe.KEYWORD: MADE.as_json()}) == MADE
    assert recipe.read(MADE.as_chunks()) == MADE


def test_what_a_client_added_to_the_services_file_counts() -> None:
    other = recipe.Recipe(PictureRequest("b", "", 1, 1.0, 1), "ffff")
    assert recipe.read({recipe.KEYWORD: other.as_json(), **MADE.as_chunks()}) == MADE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format"),
        ({"seed": "9"}, "wrong type"),
        ({"seed": True}, "wrong type"),
        ({"steps": 1.5}, "wrong type"),
        ({"prompt": None}, "wrong type"),
        ({"guidanceScale": 10**400}, "wrong type"),
    ],
)
def test_a_damaged_value_is_refused(change: dict[str, Any], message: str) -> None:
    text = json.dumps(json.loads(MADE.as_json()) | change)
    with pytest.raises(recipe.RecipeError, match=message):
        recipe.read({recipe.KEYWORD: text})


@pytest.mark.parametrize("text", ["", "[]", "1", "{", "{}", "[" * 100_000])
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(recipe.RecipeError):
        recipe.read({recipe.KEYWORD: text})


def test_another_programs_file_has_none() -> None:
    with pytest.raises(recipe.NoRecipeError, match="no text chunk 'prompt'"):
        recipe.read({"parameters": "a cat"})
