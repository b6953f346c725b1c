"""One writer at a time: a lock file that the operating system holds, and that says who.

The lock is POSIX ``flock`` on ``lock``: the system releases it when its holder dies, so a lock left
by a killed run is recognized at once. The file's text names the holder for the message. On another
host's file system ``flock`` may reach one host only; so a text left by another host is believed.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from widthwise.experiments.store.errors import StoreError, not_written

_NONE_HERE = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock while the block runs.

    Raises:
        StoreError: if another writer holds it, with its process, host and remedy, or if the file
            system is read-only or full.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise not_written(error, path.parent, "the lock file") from error
    try:
        _take(handle, path)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _take(handle: int, path: Path) -> None:
    host = socket.gethostname()
    holder = _holder(handle)
    known = _flock(handle)
    if known is False:
        raise StoreError(_busy(path, holder, "wait until it ends, or stop it"))
    if holder and holder.get("host") != host:
        raise StoreError(_busy(path, holder, f"if it runs no more, remove {path}"))
    if holder and known is None and _alive(holder.get("pid")):
        raise StoreError(_busy(path, holder, f"wait until it ends, or remove {path}"))
    text = {"pid": os.getpid(), "host": host, "since": time.strftime("%Y-%m-%d %H:%M:%S %z")}
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(text).encode(), 0)
        os.fsync(handle)
    except OSError as error:
        raise not_written(error, path.parent, "the lock file") from error


def _flock(handle: int) -> bool | None:
    """Whether the lock was got; ``None`` on a file system without locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NONE_HERE:
            raise
        return None
    return True


def _holder(handle: int) -> dict:
    """Who wrote the lock file, as far as it can be read."""
    try:
        said = json.loads(os.pread(handle, 4096, 0))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _busy(path: Path, holder: dict, remedy: str) -> str:
    who = f"process {holder.get('pid', 'unknown')} on {holder.get('host', 'an unknown host')}"
    since = f", since {holder['since']}" if "since" in holder else ""
    return f"{path.parent} is being written by {who}{since}; {remedy}"


def _alive(pid: object) -> bool:
    try:
        os.kill(int(pid), 0)  # pyright: ignore[reportArgumentType]
    except (ProcessLookupError, TypeError, ValueError):
        return False
    except PermissionError:
        pass
    return True
