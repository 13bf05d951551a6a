"""Give up, for good and from inside, every power that reading a file does not need.

Called first thing in a throwaway child. Limits on memory, time and file size
always hold. Beyond them the kernel decides what it offers: a network of its
own with nothing in it, no new privileges, and (Landlock) no program to start
and nowhere to write but one folder. What it does not offer is returned in
words, and ends up in the report.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import struct
import sys

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000
_NO_NEW_PRIVILEGES = 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_EXECUTE, _WRITE_FILE, _TRUNCATE = 1 << 0, 1 << 1, 1 << 14
_CHANGES = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
_CONNECT_OR_BIND_TCP = 0b11
_SIGNALS_AND_ABSTRACT_SOCKETS = 0b11


def confine(folder: str, *, memory: int, cpu_seconds: int, file_bytes: int) -> list[str]:
    """Confine this process to ``folder``; returns what could not be taken away.

    Every limit is set as soft and hard, so that it cannot be raised again.
    """
    for kind, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))
    if sys.platform != "linux":
        return ["the network and the file system stay open on this system"]
    libc = ctypes.CDLL(None, use_errno=True)
    lacking = []
    if not _leave_network(libc):
        lacking.append("the kernel does not allow a network namespace here: the network stays reachable")
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if not _lock_files(libc, folder):
        lacking.append("the kernel has no Landlock: files outside the temporary folder stay writable")
    return lacking


def _leave_network(libc: ctypes.CDLL) -> bool:
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_NEW_USER | _NEW_NETWORK) != 0:
        return bool(libc.unshare(_NEW_NETWORK) == 0)
    # Without a mapping the process owns nothing, and on some file systems could not create its result.
    with contextlib.suppress(OSError):
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    # Counted within the new namespace, so that it cannot starve the user's other processes.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NPROC, (64, 64))
    return True


def _lock_files(libc: ctypes.CDLL, folder: str) -> bool:
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, 1)
    if version < 1:
        return False
    truncate = _TRUNCATE if version >= 3 else 0
    attributes = struct.pack(
        "QQQ",
        _EXECUTE | _CHANGES | truncate,
        _CONNECT_OR_BIND_TCP if version >= 4 else 0,
        _SIGNALS_AND_ABSTRACT_SOCKETS if version >= 6 else 0,
    )
    length = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(_LANDLOCK_CREATE, attributes, length, 0)
    if rules < 0:
        return False
    try:
        for path, access in ((folder, _CHANGES | truncate), ("/dev/null", _WRITE_FILE)):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            done = libc.syscall(_LANDLOCK_ADD, rules, 1, struct.pack("=Qi", access, place), 0)
            os.close(place)
            if done != 0:
                return False
        return bool(libc.syscall(_LANDLOCK_RESTRICT, rules, 0) == 0)
    finally:
        os.close(rules)
