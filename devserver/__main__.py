"""`python -m devserver`: see `--help`."""

from __future__ import annotations

import logging
import os
import sys

from devserver.server import main

if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit, which would wait for a TensorFlow run or gRPC's threads.
    os._exit(code)
