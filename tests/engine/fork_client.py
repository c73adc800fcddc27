"""Client of the fork server in forks.py: `fork_client.py ADDRESS -u PYTHON-ARGUMENTS`.

Its exit status is that one's. It imports next to nothing, since it runs instead of Python.
"""

import marshal
import os
import socket
import sys

KILLED = 137


def main() -> int:
    address, _unbuffered, *arguments = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        numbers = [number for number in open_descriptors() if number != server.fileno()]
        request = marshal.dumps(
            (os.getpgrp(), os.getcwd(), numbers, arguments, dict(os.environ))  # noqa: PTH109
        )
        socket.send_fds(server, [b"+"], numbers)
        server.sendall(b"%d\n%b" % (len(request), request))
        status = server.recv(1)
    return status[0] if status else KILLED


def open_descriptors() -> list[int]:
    found: list[int] = []
    for name in os.listdir("/dev/fd"):  # noqa: PTH208
        try:
            os.fstat(int(name))
        except OSError:
            continue  # the listing's own
        found.append(int(name))
    return found


if __name__ == "__main__":
    sys.exit(main())
