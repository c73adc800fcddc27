"""A network of its own for whoever listens on all addresses, on ports that cannot be chosen."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


@contextmanager
def own_network() -> Iterator[None]:
    """Nothing but a loopback, as in a pod without neighbours, until the end of the block.

    It holds for the calling thread, and for the threads and processes that it starts meanwhile.
    Raises PermissionError where the system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _checked(libc.unshare(CLONE_NEWNET))
        try:
            _raise_loopback()
            yield
        finally:
            _checked(libc.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
