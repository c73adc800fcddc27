"""For all tests: the signals of the processes they start are those of a shell in the foreground."""

import signal

# A shell starts its background jobs, and nohup theirs, with SIGINT ignored, which every process
# inherits that they start: then no test could interrupt its children. A handler is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
