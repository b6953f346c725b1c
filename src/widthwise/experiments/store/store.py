"""The store: a directory that holds what a study has computed, and from which it continues.

    store.json                    that this is a study, written last when it is made
    specs/0000-<hash>.toml        the spec; 0001-…, 0002-… after extensions
    provenance/0000.json          versions, host, commit; a new one whenever they change
    blocks/<point>/<quantity>/<block>.zip      one zarr group per job, with its checksum
    lock, unfinished/             who writes, and files under way

Blocks are only ever added, each of them atomically, so a run may be killed at any moment: what
:meth:`Store.done` finds is whole and verified, and all else is computed anew.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from widthwise.experiments.jobs import Job
from widthwise.experiments.store import block as blocks
from widthwise.experiments.store.errors import not_written
from widthwise.experiments.store.files import make_directories, write_atomically
from widthwise.experiments.store.lock import locked
from widthwise.experiments.store.shelf import Shelf

_FORMAT = {"format": "widthwise study", "version": 1}


class Store:
    """The directory of one study. Make it by :meth:`create`, open it by :meth:`open`.

    Reading needs no lock and may go on while another process writes.

    Args:
        directory: of the study.

    Example:
        >>> import tempfile, numpy as np
        >>> from widthwise.experiments.jobs import Job
        >>> from widthwise.experiments.store import Store
        >>> store = Store.create(tempfile.mkdtemp(), spec="seed = 1", provenance={})
        >>> store.write(Job("0" * 16, "mean", 0, "{}"), {"sum": np.ones(2)}, seconds=0.1)
        >>> sorted(store.done()), store.read("0000000000000000/mean/000000")["sum"]
        (['0000000000000000/mean/000000'], array([1., 1.]))
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self._writing = 0
        self._shelf = Shelf(self.directory / "blocks")

    @classmethod
    def create(cls, directory: str | Path, *, spec: str, provenance: Mapping[str, str]) -> "Store":
        """Make the directory of a new study; one whose making was interrupted is completed.

        Args:
            directory: a path that does not exist, or an empty directory.
            spec: text of the spec.
            provenance: as from :func:`provenance`.

        Raises:
            ValueError: if the directory holds something.
            StoreError: if it cannot be written, or another process is making it.
        """
        store = cls(directory)
        try:
            store._refuse_another()
            store.refuse_occupied()
            make_directories(store.directory.absolute())
        except OSError as error:
            raise not_written(error, store.directory, "a new study") from error
        with store.writing():
            store._refuse_another()  # made by another process meanwhile
            for old in store._specs():  # of an interrupted creation
                old.unlink()
            store._add_spec(spec)
            store.record(provenance)
            store._put(store._marker, json.dumps(_FORMAT).encode(), "store.json")
        return store

    def refuse_occupied(self) -> None:
        """Raise where no new study can be made.

        Raises:
            ValueError: if the directory holds something, or the path is that of a file.
        """
        for path in (self.directory, *self.directory.parents):
            if path.exists() and not path.is_dir():
                raise ValueError(
                    f"{path} is a file, so {self.directory} can be no study; give a new directory"
                )
        ours = {"specs", "provenance", "blocks", "unfinished", "lock"}
        if self.directory.exists() and {p.name for p in self.directory.iterdir()} - ours:
            raise ValueError(f"{self.directory} is not empty and no study; give another directory")

    @classmethod
    def open(cls, directory: str | Path) -> "Store":
        """Open the directory of a study; nothing is written.

        Raises:
            ValueError: if it is no study, or one of a newer format.
        """
        store = cls(directory)
        try:
            said = json.loads(store._marker.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            begun = (store.directory / "specs").is_dir()
            raise ValueError(
                f"{store.directory} was interrupted while it was made, and holds no results; run "
                "the study again with the same output directory"
                if begun
                else f"{store.directory} is no study (it has no store.json); give the directory "
                "that was the --output of a study"
            ) from None
        except (ValueError, OSError) as error:
            raise ValueError(f"{store._marker} cannot be read: {error}") from error
        if said != _FORMAT:
            raise ValueError(
                f"{store._marker} says {said}, but this version of widthwise reads {_FORMAT}; "
                "use the version named in the study's provenance"
            )
        return store

    # What was asked, and with what. --------------------------------------------------------------

    @property
    def spec(self) -> str:
        """Text of the spec, the newest if the study was extended."""
        return self.specs[-1]

    @property
    def specs(self) -> tuple[str, ...]:
        """Texts of all specs, oldest first."""
        texts = []
        for path in self._specs():
            text = path.read_bytes().decode()
            if _short_hash(text) != path.stem.partition("-")[2]:
                raise ValueError(
                    f"{path} was changed after the study was made; undo the change, and extend "
                    "the study by a spec of your own instead"
                )
            texts.append(text)
        return tuple(texts)

    def extend(self, spec: str) -> None:
        """Replace the spec by an extended one; the old one is kept in :attr:`specs`."""
        if spec != self.spec:
            with self.writing():
                self._add_spec(spec)

    @property
    def provenance(self) -> tuple[dict[str, str], ...]:
        """What computed the blocks, oldest first: one entry per change."""
        return tuple(self._entry(path) for path in self._entries())

    def record(self, provenance: Mapping[str, str]) -> None:
        """Note the provenance of what is written from now on, unless it is the last one noted."""
        found, now = self.provenance, dict(provenance)
        if not found or found[-1] != now:
            last = self._entries()[-1:]
            number = int(last[0].stem) + 1 if last else 0
            path = self.directory / "provenance" / f"{number:04d}.json"
            self._put(path, json.dumps(now, indent=1).encode(), "the provenance")

    def attach(self, name: str, data: bytes) -> Path:
        """Write a file beside the blocks, whole or not at all, and return its path."""
        self._put(self.directory / name, data, name)
        return self.directory / name

    # Blocks. -------------------------------------------------------------------------------------

    def write(self, job: Job, arrays: Mapping[str, np.ndarray], seconds: float) -> None:
        """Store the result of a job, atomically; a block of the same name is replaced.

        Args:
            job: what was computed.
            arrays: name → array of numbers or truth values.
            seconds: that it took.

        Raises:
            ValueError: for arrays that are not numbers.
            StoreError: if the disk is full or read-only, or another process writes.
        """
        block = blocks.Block(job.name, blocks.digest_of(job.payload), arrays, seconds)
        self._put(self._shelf.path(job.name), blocks.encode(block), f"block {job.name}")

    def read(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a block.

        Raises:
            KeyError: if there is no such block.
            DamagedBlock: if its bytes are not those that were written.
        """
        return dict(blocks.decode(self._shelf.bytes(name), name).arrays)

    def done(self) -> set[str]:
        """Names of all blocks that are there and verified against their checksums."""
        return {name for name in self.names() if self._shelf.verified(name)}

    def damaged(self) -> set[str]:
        """Names of all blocks that are there but damaged; a run computes them anew."""
        return {name for name in self.names() if not self._shelf.verified(name)}

    def names(self) -> list[str]:
        """Names of all blocks that are there, sorted, not verified."""
        return self._shelf.names()

    def pending(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs that have no verified block of the same payload, in their order."""

        def stored(job: Job) -> bool:
            found = self._shelf.verified(job.name)
            return found is not None and found.payload == blocks.digest_of(job.payload)

        return [job for job in jobs if not stored(job)]

    def seconds(self, name: str) -> float:
        """How long the computation of a block took.

        Raises:
            KeyError: if there is no such block.
            DamagedBlock: if it is damaged.
        """
        found = self._shelf.verified(name)
        return blocks.check(self._shelf.bytes(name), name) if found is None else found.seconds

    def digest(self) -> str:
        """SHA-256 of all blocks' arrays and names: equal for studies equal bit for bit."""
        total = hashlib.sha256()
        for name in self.names():
            data = self._shelf.bytes(name)
            blocks.check(data, name)
            total.update(f"{name} {blocks.content_digest(data)}\n".encode())
        return total.hexdigest()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer while the block runs; may be nested.

        Raises:
            StoreError: if another process is writing, or the directory cannot be written.
        """
        if self._writing:
            self._writing += 1
            try:
                yield
            finally:
                self._writing -= 1
            return
        with locked(self.directory / "lock"):
            self._writing = 1
            try:
                self._prepare()
                yield
            finally:
                self._writing = 0

    # Files. --------------------------------------------------------------------------------------

    @property
    def _marker(self) -> Path:
        return self.directory / "store.json"

    @property
    def _unfinished(self) -> Path:
        return self.directory / "unfinished"

    def _refuse_another(self) -> None:
        if self._marker.exists():
            raise ValueError(
                f"{self.directory} holds a study already; continue it (widthwise resume "
                f"{self.directory}), or give another directory"
            )

    def _entries(self) -> list[Path]:
        return sorted((self.directory / "provenance").glob("*.json"))

    def _entry(self, path: Path) -> dict[str, str]:
        try:
            found = json.loads(path.read_bytes())
            if not isinstance(found, dict):
                raise ValueError("it is no JSON object")
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{path} cannot be read: {error}; put a whole copy back, or delete it: then it is "
                "not known what computed a part of the results"
            ) from error
        return found

    def _specs(self) -> list[Path]:
        return sorted((self.directory / "specs").glob("*.toml"))

    def _prepare(self) -> None:
        """The directories, and no files that a killed writer left unfinished."""
        try:
            for name in ("specs", "provenance", "blocks", "unfinished"):
                make_directories(self.directory / name)
            for part in self._unfinished.iterdir():
                part.unlink()
        except OSError as error:
            raise not_written(error, self.directory, "the study") from error

    def _put(self, path: Path, data: bytes, what: str) -> None:
        with self.writing():
            try:
                make_directories(path.parent)
                write_atomically(path, data, self._unfinished)
            except OSError as error:
                raise not_written(error, self.directory, what) from error

    def _add_spec(self, spec: str) -> None:
        name = f"{len(self._specs()):04d}-{_short_hash(spec)}.toml"
        self._put(self.directory / "specs" / name, spec.encode(), "the spec")


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
