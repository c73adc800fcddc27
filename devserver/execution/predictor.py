"""Running predictions one at a time: arrays in, through the queue and the model, arrays out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from devserver.execution.batching import Batching
from devserver.execution.scheduler import Execution, Scheduler
from devserver.metrics import Metrics
from devserver.model.loading import LoadedModel, Signature


@dataclass
class RequestNotes:
    """Details of a request for the log and the metrics, filled in as it is handled."""

    model_name: str = ""
    queue_wait_seconds: float | None = None
    """None if it never entered the queue."""


class Predictor:
    """Runs every prediction, whether from REST, gRPC or a warm-up record."""

    def __init__(self, model_name: str, batching: Batching, metrics: Metrics) -> None:
        self._model_name = model_name
        self._batching = batching
        self._metrics = metrics
        self._scheduler = Scheduler(
            batching.capacity, batching.full_message, metrics.record_queue_wait
        )

    def predict(
        self,
        model: LoadedModel,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        timeout_seconds: float | None,
        notes: RequestNotes,
    ) -> dict[str, np.ndarray]:
        """The outputs by alias. The time limit includes time in the queue.

        Raises:
            ServingError: UNAVAILABLE if the queue is full, RESOURCE_EXHAUSTED if the time limit
                passed before the run, DEADLINE_EXCEEDED if it passed during the run, or the
                model's own error.
        """
        start = time.monotonic()
        deadline = None if timeout_seconds is None else start + timeout_seconds
        parts = self._batching.split(inputs)
        if self._batching.enabled:
            self._metrics.record_input_batch([value.shape[0] for value in inputs.values()])
        executions = [
            Execution(
                partial(self._execute, model, signature, part, outputs), self._batching.rows(part)
            )
            for part in parts
        ]
        task = self._scheduler.submit(executions, deadline, signature.name)
        try:
            results = task.results()
        finally:
            notes.queue_wait_seconds = task.queue_wait_seconds
        self._metrics.record_run(self._model_name, time.monotonic() - start)
        return self._batching.merge(parts, results)

    def _execute(
        self,
        model: LoadedModel,
        signature: Signature,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str],
        left_seconds: float | None,
    ) -> dict[str, np.ndarray]:
        rows = self._batching.rows(inputs) if self._batching.enabled else None
        with self._metrics.execution(rows):
            return model.run(signature, inputs, outputs, left_seconds)

    def stop(self) -> None:
        """Rejects waiting and new requests; the running one continues."""
        self._scheduler.stop()
