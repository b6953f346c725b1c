"""What can go wrong between a study and its disk, each as one readable message."""

import errno
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}


class StoreError(RuntimeError):
    """The store cannot be used now; the message says why and what to do. What it holds is kept."""


class DamagedBlock(StoreError):
    """A block whose bytes are not those that were written; it has to be computed anew."""


def not_written(error: OSError, directory: Path, what: str) -> StoreError:
    """The message for a write that the operating system refused.

    Args:
        error: what the operating system said.
        directory: of the study.
        what: what could not be written, such as "block 0/1/000000".
    """
    kept = "what was stored before is kept"
    if error.errno in _FULL:
        why = f"no space is left for {what} in {directory} ({error.strerror}); {kept}"
        remedy = "free some space (or raise the quota)"
    elif error.errno in _CLOSED:
        why = f"{what} cannot be written: {directory} is read-only here ({error.strerror}); {kept}"
        remedy = "make the directory writable, or copy it to where it is"
    else:
        why = f"{what} cannot be written to {directory} ({error}); {kept}"
        remedy = "mend the file system"
    return StoreError(f"{why}.\n{remedy.capitalize()}, then continue: widthwise resume {directory}")
