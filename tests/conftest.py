"""For all tests: the signals of the processes they start are those of a shell in the foreground."""

import signal

# A shell starts its background jobs with SIGINT ignored, and nohup its command with SIGHUP, which
# every process inherits that they start: then no test could interrupt its children. Handlers are
# not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
