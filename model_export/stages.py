"""The stages of an export, for whoever reports or expects how long each takes."""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """The parts of an export, in order. Families with local weights skip the first."""

    FETCH = "download and check the weights"
    LOAD = "load TensorFlow and the networks"
    TRACE = "trace the graph"
    SAVE = "save the model"
    DESCRIBE = "write warm-up requests and the manifest"
    PUBLISH = "publish"
