"""The payload of a job: canonical JSON that says all there is to compute, and the point's hash.

A quantity reads some fields of a grid point. These fields alone, with the content of a data file in
the place of its path, make the hash of the point: it depends neither on the budget nor on the rest
of the grid, so that a study that is extended finds its old results again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from widthwise.experiments.spec import GridPoint

FORMAT = 2  # of the numbers behind a hash; a change makes all points new


@dataclass(frozen=True)
class Request:
    """What a payload asks for.

    Args:
        quantity: its name.
        fields: section → field → value, those the quantity reads; "seed" → its value.
        hash: of the point.
        block: which block of members.
        file: the data file and the hash of its content, or ``None``.
        kept: the folder where the study keeps the points it drew from files, or ``None``; no part
            of the payload.
    """

    quantity: str
    fields: Mapping[str, Any]
    hash: str
    block: int
    file: tuple[str, str] | None = None
    kept: Path | None = None

    @property
    def kept_points(self) -> Path | None:
        """Where the points drawn from the data file are kept, named by what they were drawn by."""
        if self.file is None or self.kept is None:
            return None
        drawn_by = canonical(self.fields["data"]).encode()
        return self.kept / f"{hashlib.sha256(drawn_by).hexdigest()[:16]}.npz"

    @property
    def text(self) -> str:
        """Canonical JSON."""
        return canonical(
            {
                "quantity": self.quantity,
                "fields": self.fields,
                "point": self.hash,
                "block": self.block,
                "file": self.file,
            }
        )

    @property
    def point(self) -> GridPoint:
        """The grid point, fields that the quantity does not read at their defaults."""
        raw = json.loads(canonical(self.fields))
        raw.setdefault("data", {})
        if self.file is not None:
            raw["data"]["path"] = self.file[0]
        raw.setdefault("compute", {})["quantities"] = [self.quantity]
        return GridPoint.model_validate(raw)


def request(
    point: GridPoint,
    quantity: str,
    reads: Sequence[str],
    base_folder: Path,
    known: Mapping[str, str] | None = None,
    kept: Path | None = None,
) -> Request:
    """What block 0 of a quantity at a grid point asks for.

    Args:
        point: the grid point.
        quantity: its name.
        reads: paths of the fields it reads.
        base_folder: where relative paths of data files start.
        known: data file → hash of the content it had, for a study that was run; other files are
            read.
        kept: the folder of the points that were drawn from files.
    """
    plain = point.plain()
    fields: dict[str, Any] = {}
    for path in reads:
        section, _, name = path.rpartition(".")
        if not section:
            fields[name] = plain[name]
        elif plain[section][name] is not None:
            fields.setdefault(section, {})[name] = plain[section][name]
    file = None
    if point.data.path is not None:
        path = str((base_folder / point.data.path).resolve())
        file = (path, (known or {}).get(path) or content(path))
        fields["data"]["path"] = file[1]
    named = canonical({"format": FORMAT, "fields": fields})
    digest = hashlib.sha256(named.encode()).hexdigest()[:16]
    return Request(quantity, fields, digest, 0, file, kept)


def parse(payload: str) -> Request:
    """The request behind a payload.

    Raises:
        ValueError: for a text that is no payload.
    """
    try:
        raw = json.loads(payload)
        file = None if raw["file"] is None else tuple(raw["file"])
        return Request(raw["quantity"], raw["fields"], raw["point"], raw["block"], file)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"a payload is the canonical JSON of a job of a study, got {payload[:60]!r}; take "
            "jobs from Study.jobs()"
        ) from error


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values are equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content(path: str) -> str:
    """The hash of a file, read again only if it changed."""
    try:
        status = Path(path).stat()
        return _content(path, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"data.path = {path!r}: the file cannot be read ({reason}); a relative path starts at "
            "the folder of the TOML file"
        ) from error


@lru_cache(maxsize=64)
def _content(path: str, modified: int, size: int) -> str:
    return "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()
