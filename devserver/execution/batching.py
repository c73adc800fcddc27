"""TF Serving's batching parameters, and what they mean with one execution at a time.

TF Serving merges rows of several clients into one batch. This server never does: a request runs
alone, split into executions of at most the execution batch size, whose outputs are then joined. For
a model with independent rows the results are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devserver import config_files
from devserver.errors import Code, ServingError, StartError, invalid_argument
from tfserving.config_files_pb2 import BatchingParameters

DEFAULT_WAITING_REQUESTS = 8

Tensors = Mapping[str, Any]
"""Alias -> numpy array."""


@dataclass(frozen=True)
class Batching:
    """The bounds of the queue. The rules for rows apply if `enabled`."""

    enabled: bool = False
    max_batch_size: int = 1
    max_enqueued_batches: int = DEFAULT_WAITING_REQUESTS
    splitting: bool = False
    max_execution_batch_size: int = 1

    @property
    def execution_rows(self) -> int:
        """The maximum number of rows per execution."""
        return self.max_execution_batch_size if self.splitting else self.max_batch_size

    @property
    def capacity(self) -> int:
        """Rows that may wait; without batching every request counts as one row."""
        return self.max_enqueued_batches * self.execution_rows

    def rows(self, inputs: Tensors) -> int:
        """How much of the capacity one execution's inputs use."""
        if not self.enabled or not inputs:
            return 1
        return max(1, next(iter(inputs.values())).shape[0])

    def full_message(self, rows: int, waiting_rows: int) -> str:
        opening = "The batch scheduling queue to which this task was submitted is full; "
        enqueued = -(-waiting_rows // self.execution_rows)
        if not self.splitting:
            return opening + (
                f"currently {enqueued} batches enqueued and max_enqueued_batches is "
                f"{self.max_enqueued_batches}"
            )
        return opening + (
            f"task size is {rows} but scheduling capacity is only {self.capacity - waiting_rows} "
            f"(num_enqueued_batches={enqueued}, "
            f"max_enqueued_batches={self.max_enqueued_batches}, open_batch_size=0, "
            f"max_execution_batch_size={self.max_execution_batch_size})"
        )

    def split(self, inputs: Tensors) -> list[dict[str, Any]]:
        """One set of inputs per execution.

        Raises:
            ServingError: the inputs break TF Serving's rules for batching.
        """
        if not self.enabled:
            return [dict(inputs)]
        if not inputs:
            raise invalid_argument("Batching Run() must have at least one input tensor")
        if any(value.ndim == 0 for value in inputs.values()):
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
        sizes = {value.shape[0] for value in inputs.values()}
        if len(sizes) > 1:
            raise invalid_argument(
                "Batching Run() input tensors must have equal 0th-dimension size"
            )
        rows = sizes.pop()
        if rows > self.max_batch_size:
            raise invalid_argument(
                f"Task size {rows} is larger than maximum input batch size {self.max_batch_size}"
            )
        step = self.execution_rows
        return [
            {alias: value[start : start + step] for alias, value in inputs.items()}
            for start in range(0, max(rows, 1), step)
        ]

    def merge(self, inputs: Sequence[Tensors], outputs: Sequence[Tensors]) -> dict[str, Any]:
        """The outputs of a request from those of its executions."""
        import numpy as np

        if self.enabled:
            for part, result in zip(inputs, outputs, strict=True):
                _check_outputs(part, result)
        if len(outputs) == 1:
            return dict(outputs[0])
        return {
            alias: np.concatenate([part[alias] for part in outputs], axis=0) for alias in outputs[0]
        }


def _check_outputs(inputs: Tensors, outputs: Tensors) -> None:
    rows = next(iter(inputs.values())).shape[0]
    for value in outputs.values():
        if value.ndim == 0:
            raise ServingError(Code.FAILED_PRECONDITION, "Batched output tensor has 0 dimensions")
        if value.shape[0] != rows:
            raise ServingError(
                Code.FAILED_PRECONDITION,
                "Batched output tensor's 0th dimension does not equal the sum of the 0th "
                "dimension sizes of the input tensors",
            )


def read(enabled: bool, path: str) -> Batching:
    """The batching of the flags `enable_batching` and `batching_parameters_file`.

    Raises:
        StartError: the file is missing or wrong.
    """
    if not enabled:
        return Batching()
    message = BatchingParameters()
    if path:
        config_files.read("batching_parameters_file", path, message)

    def value(name: str, default: Any) -> Any:
        return getattr(message, name).value if message.HasField(name) else default

    max_batch_size = value("max_batch_size", 1000)
    allowed = list(message.allowed_batch_sizes)
    batching = Batching(
        enabled=True,
        max_batch_size=max_batch_size,
        max_enqueued_batches=max(1, value("max_enqueued_batches", 10)),
        splitting=value("enable_large_batch_splitting", False),
        max_execution_batch_size=value("max_execution_batch_size", max_batch_size),
    )
    if allowed and allowed[-1] != max_batch_size:
        raise StartError(
            "--batching_parameters_file: Last entry in allowed_batch_sizes must match "
            f"max_batch_size; last entry was {allowed[-1]}; expected {max_batch_size}"
        )
    if max_batch_size < 1 or batching.execution_rows < 1:
        raise StartError("--batching_parameters_file: batch sizes must be at least 1")
    if batching.execution_rows > max_batch_size:
        raise StartError(
            "--batching_parameters_file: max_execution_batch_size must not exceed max_batch_size"
        )
    return batching
