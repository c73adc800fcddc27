"""One stage of the demo model's training: optimizer, moving average, checkpoint, progress.

Everything is a function of the step number: batches come from a generator seeded with it, and
schedules count steps, not seconds. So a stopped stage resumes where it was, and a second training
sees the same data.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Report = Callable[[str], None]

CHECKPOINT_SECONDS = 180.0
TOWERS = 2
"""Parts of a batch that are computed in parallel, one thread each. The operations are too small to
split between threads: two threads per operation are slower than one."""


@dataclass(frozen=True)
class Recipe:
    """How long and how to train. docs/demo-model.md says how the stored weights were made."""

    autoencoder_steps: int = 2500
    autoencoder_batch: int = 16
    autoencoder_peak_rate: float = 1.5e-3
    autoencoder_noise: float = 0.5
    decoder_steps: int = 1500
    decoder_peak_rate: float = 1e-3
    pictures: int = 40_000
    text_steps: int = 2000
    text_batch: int = 96
    text_peak_rate: float = 1e-3
    unet_steps: int = 7000
    unet_batch: int = 32
    unet_peak_rate: float = 1e-3
    empty_captions: float = 0.10
    complete_captions: float = 0.5
    shape_weight: float = 5.0
    """Extra weight of an error at a shape, at zero noise."""


class Stage:
    """One training stage: optimizer, moving average, checkpoint, progress."""

    def __init__(self, path: Path, name: str, variables: Sequence[Any], total_steps: int) -> None:
        import keras
        import tensorflow as tf

        self.path, self.name, self.total = path, name, total_steps
        self.variables = list(variables)
        self.average = [tf.Variable(v.value) for v in self.variables]
        self.optimizer: Any = keras.optimizers.AdamW(1e-3, beta_2=0.99, weight_decay=0.01)
        self.optimizer.build(self.variables)
        self.step = 0
        self._seen: list[dict[str, float]] = []
        if path.exists():
            self._read()
        self._started, self._first_step = time.monotonic(), self.step
        self._saved = self._started

    def run(
        self,
        make: Callable[[int], Sequence[Any]],
        step: Callable[..., dict[str, Any]],
        peak_rate: float,
        report: Report,
    ) -> None:
        """Train to the end: `step(index, *make(index))` for each remaining index.

        If interrupted, it saves a checkpoint, from which the next run resumes.
        """
        import tensorflow as tf

        try:
            for index, batch in _batches(make, self.step, self.total):
                self._set_rate(peak_rate)
                self._count(step(tf.constant(index), *batch), report)
        finally:
            self._save()

    def apply(self, gradients: Any, average: float) -> None:
        """One step of the optimizer and of the moving average (inside a tf.function)."""
        import tensorflow as tf

        clipped, _ = tf.clip_by_global_norm(gradients, 1.0)
        self.optimizer.apply_gradients(zip(clipped, self.variables, strict=True))
        count = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(average, (1 + count) / (10 + count))
        for mean, variable in zip(self.average, self.variables, strict=True):
            mean.assign(decay * mean + (1 - decay) * variable.value)

    def _set_rate(self, peak: float, warm_up: float = 0.02, floor: float = 0.01) -> None:
        """Linear warm-up, then a cosine down to `floor` of the peak."""
        done = self.step / self.total
        cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        self.optimizer.learning_rate.assign(peak * min(1.0, (done + 1e-4) / warm_up) * cosine)

    def _count(self, figures: dict[str, Any], report: Report) -> None:
        """Count a step; report and save at intervals."""
        self.step += 1
        self._seen.append({k: float(v) for k, v in figures.items()})
        if self.step % 50 == 0 or self.step == self._first_step + 10:
            spent = time.monotonic() - self._started
            pace = spent / (self.step - self._first_step)
            recent = self._seen[-50:]
            text = "  ".join(
                f"{k} {sum(s[k] for s in recent) / len(recent):.4f}" for k in recent[0]
            )
            left = pace * (self.total - self.step) / 60
            report(
                f"{self.name}  step {self.step} of {self.total}  {text}  "
                f"{pace:.2f} s/step  {left:.0f} min left"
            )
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
            self._save()

    def _save(self) -> None:
        """Write the checkpoint atomically."""
        arrays = {f"v{i}": v.numpy() for i, v in enumerate(self.variables)}
        arrays |= {f"m{i}": m.numpy() for i, m in enumerate(self.average)}
        arrays |= {f"o{i}": np.asarray(o) for i, o in enumerate(self.optimizer.variables)}
        temporary = self.path.with_suffix(".tmp.npz")
        np.savez(temporary, step=int(self.optimizer.iterations), **arrays)  # pyright: ignore[reportArgumentType]
        temporary.replace(self.path)
        self._saved = time.monotonic()

    def _read(self) -> None:
        with np.load(self.path) as stored:
            self.step = int(stored["step"])
            for i, (variable, mean) in enumerate(zip(self.variables, self.average, strict=True)):
                variable.assign(stored[f"v{i}"])
                mean.assign(stored[f"m{i}"])
            for i, variable in enumerate(self.optimizer.variables):
                variable.assign(stored[f"o{i}"])


def read_average(path: Path, variables: Sequence[Any]) -> None:
    """Fill variables, the first ones of a `Stage`, with the moving average in its checkpoint."""
    with np.load(path) as stored:
        for i, variable in enumerate(variables):
            variable.assign(stored[f"m{i}"])


def mean_gradients(towers: Sequence[Sequence[Any]]) -> list[Any]:
    """The gradients of several towers, averaged variable by variable."""
    import tensorflow as tf

    return [
        tf.add_n([tf.convert_to_tensor(g) for g in same]) / len(towers)
        for same in zip(*towers, strict=True)
    ]


def _batches(make: Callable[[int], Any], first: int, total: int) -> Iterator[tuple[int, Any]]:
    """(step, batch) from `first` on, prepared by a thread."""
    ready: queue.Queue[tuple[int, Any]] = queue.Queue(8)

    def run() -> None:
        for index in range(first, total):
            ready.put((index, make(index)))

    threading.Thread(target=run, daemon=True).start()
    for _ in range(first, total):
        yield ready.get()
