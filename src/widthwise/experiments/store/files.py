"""Files that are there whole or not at all: written aside, forced to the disk, then renamed.

POSIX renames within one file system are atomic, so a reader, or a run after a crash, sees the old
file or the new one. The directory is forced to the disk too: without that the name of a new file
may be lost in a power failure.
"""

import contextlib
import errno
import os
import threading
from pathlib import Path


def write_atomically(path: Path, data: bytes, aside: Path) -> None:
    """Write a file whole or not at all; on failure nothing is left behind.

    Args:
        path: the file, in an existing directory.
        data: its bytes.
        aside: an existing directory of the same file system for the unfinished file.

    Raises:
        OSError: as the operating system says; the file is then as it was before.
    """
    part = aside / f"{os.getpid()}-{threading.get_ident()}.part"
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    sync_directory(path.parent)


def make_directories(path: Path) -> None:
    """A directory and those above it, each of them forced to the disk."""
    if path.is_dir():
        return
    make_directories(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk, where the file system knows how."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
