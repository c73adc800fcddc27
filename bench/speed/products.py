"""How fast the processor multiplies matrices, by number type.

    python -m bench.speed.products

The last line of its output is a JSON object of types and GFLOP/s; a product of two N by N matrices
is 2 N³ operations. bfloat16 pays off where its rate is the higher one. AVX512_BF16 alone does not
guarantee that: on some processors its instruction takes several cycles.
"""

from __future__ import annotations

import json
import os
import time

SIZE = 2048
REPEATS = 5
TYPES = ("float32", "bfloat16", "float16")
"""Models are exported in the first two; float16 is measured to show why it is not used."""


def main() -> None:
    import tensorflow as tf

    found: dict[str, float] = {}
    for precision in TYPES:
        matrix = tf.cast(tf.random.stateless_normal([SIZE, SIZE], seed=[0, 0]), precision)
        fastest = float("inf")
        for _ in range(1 + REPEATS):  # the first warms up
            began = time.monotonic()
            tf.matmul(matrix, matrix).numpy()
            fastest = min(fastest, time.monotonic() - began)
        found[precision] = 2 * SIZE**3 / fastest / 1e9
    print(json.dumps(found))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
