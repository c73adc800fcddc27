"""keras_cv's models reduced to their variables, of the tiny architecture: quick to fill."""

from __future__ import annotations

from unittest import mock

import numpy as np

from model_export.checkpoints.architecture import PARTS
from model_export.ingredients import Ingredient
from model_export.sd14 import own_files
from model_export.spec import ModelSpec
from tests.model_export.checkpoints.state_dicts import TINY, Tensors


class Variable:
    """A variable of a network that nobody has to build."""

    def __init__(self) -> None:
        self.value = np.zeros(())

    def assign(self, value: np.ndarray) -> None:
        self.value = value

    def numpy(self) -> np.ndarray:
        return self.value


def filled(spec: ModelSpec) -> tuple[dict[str, Tensors], tuple[Ingredient, ...]]:
    """(values by part and name, in PyTorch's layout; what they are made of)"""
    from model_export.sd14 import variables

    models = [{name: Variable() for name in TINY.tensors(part)} for part in PARTS]
    with mock.patch.object(variables, "by_name", lambda _part, model: model):
        made_of = own_files.fill(models, spec, lambda _done: None)
    values = {
        part: {name: variables.to_torch(part, name, one.value) for name, one in model.items()}
        for part, model in zip(PARTS, models, strict=True)
    }
    return values, made_of
