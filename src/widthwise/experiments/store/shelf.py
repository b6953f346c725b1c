"""The files of blocks, and which of them are whole.

A file that was verified is not read again while it is the same file: same inode, size and time.
"""

from dataclasses import dataclass
from pathlib import Path

from widthwise.experiments.store import block
from widthwise.experiments.store.errors import DamagedBlock


@dataclass(frozen=True)
class Verified:
    """What is remembered of a whole block: digest of its payload, and seconds it took."""

    payload: str
    seconds: float


class Shelf:
    """Blocks under a directory ``<point>/<quantity>/<block>.zip``.

    Args:
        root: the directory; it need not exist.
    """

    def __init__(self, root: Path):
        self._root = root
        self._known: dict[str, tuple[tuple[int, int, int], Verified]] = {}

    def path(self, name: str) -> Path:
        """The file of a block."""
        return self._root / f"{name}.zip"

    def names(self) -> list[str]:
        """Names of all blocks that have a file, sorted."""
        files = self._root.glob("*/*/*.zip")
        return sorted(path.relative_to(self._root).with_suffix("").as_posix() for path in files)

    def bytes(self, name: str) -> bytes:
        """The bytes of a block's file.

        Raises:
            KeyError: if there is none.
            DamagedBlock: if the operating system cannot read it.
        """
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            raise KeyError(f"no block {name!r} in {self._root.parent}") from None
        except OSError as error:
            raise DamagedBlock(f"block {name} cannot be read: {error}") from error

    def verified(self, name: str) -> Verified | None:
        """What a block's file says if it is there and whole."""
        try:
            status = self.path(name).stat()
            mark = (status.st_ino, status.st_mtime_ns, status.st_size)
            known = self._known.get(name)
            if known is not None and known[0] == mark:
                return known[1]
            data = self.bytes(name)
            seconds = block.check(data, name)
            found = Verified(block.attributes(data, name)["payload"], seconds)
        except (OSError, KeyError, DamagedBlock):
            self._known.pop(name, None)
            return None
        self._known[name] = (mark, found)
        return found
