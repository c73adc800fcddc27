"""How fast the processor multiplies, in float32 and in bfloat16.

    python -m bench.speed.products

The last line of its output is a JSON object of precisions and 10⁹ operations a second, of which a
product of N by N matrices has 2 N³. bfloat16 is worth having where its number is the larger one:
AVX512_BF16 alone does not tell, for some processors take several cycles for its instruction.
"""

from __future__ import annotations

import json
import os
import time

SIZE = 2048
REPEATS = 5


def main() -> None:
    import tensorflow as tf

    found: dict[str, float] = {}
    for precision in ("float32", "bfloat16"):
        matrix = tf.cast(tf.random.stateless_normal([SIZE, SIZE], seed=[0, 0]), precision)
        fastest = float("inf")
        for _ in range(1 + REPEATS):  # the first makes ready
            began = time.monotonic()
            tf.matmul(matrix, matrix).numpy()
            fastest = min(fastest, time.monotonic() - began)
        found[precision] = 2 * SIZE**3 / fastest / 1e9
    print(json.dumps(found))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
