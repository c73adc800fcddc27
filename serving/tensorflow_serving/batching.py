"""TensorFlow Serving's batching file: one execution at a time and a bounded queue."""

from __future__ import annotations

MAX_ROWS_PER_REQUEST = 8


def batching_parameters(queue: int) -> str:
    """The file's text for one execution at a time and `queue` waiting requests."""
    return (
        f"max_batch_size {{ value: {MAX_ROWS_PER_REQUEST} }}\n"
        "enable_large_batch_splitting { value: true }\n"
        "max_execution_batch_size { value: 1 }\n"
        "num_batch_threads { value: 1 }\n"
        f"max_enqueued_batches {{ value: {queue} }}\n"
        "batch_timeout_micros { value: 0 }\n"
    )
