"""The bytes of one block: a zarr group in a zip file that carries its own checksum.

A block is a zarr 3 group (arrays of one uncompressed chunk each) in a zip archive whose comment, at
the very end of the file, is

    widthwise seconds=<seconds> sha256=<hexadecimal digits>,

with the digest of every byte before the digits. A truncated file has lost its comment, a changed
one has another digest: both are found without parsing anything. Every zarr reads a block
(``zarr.open_group(zarr.storage.ZipStore(path, mode="r"))``). The metadata are written here, not by
the zarr package, so that equal arrays give equal bytes whatever its version, and quickly: a study
has many blocks. No pickle: arrays of numbers and truth values only.

Zarr core specification 3: https://zarr-specs.readthedocs.io/en/latest/v3/core/
"""

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from widthwise.experiments.store.errors import DamagedBlock

_COMMENT = re.compile(rb"widthwise seconds=([0-9.]{16}) sha256=([0-9a-f]{64})\Z")
_DIGITS = 64
_LONGEST = len(b"widthwise seconds=") + 16 + len(b" sha256=") + _DIGITS
_TYPES = frozenset(
    ["bool", "float16", "float32", "float64", "complex64", "complex128"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
_FORBIDDEN = re.compile(r"[/\x00]|^\.*$|^__|^zarr\.json$")


@dataclass(frozen=True, eq=False)
class Block:
    """What a block's file says.

    Args:
        name: of the job.
        payload: SHA-256 of the job's payload.
        arrays: name → array.
        seconds: that the computation took.
    """

    name: str
    payload: str
    arrays: Mapping[str, np.ndarray]
    seconds: float


def digest_of(payload: str) -> str:
    """SHA-256 of a payload, by which a block knows what it was computed for."""
    return hashlib.sha256(payload.encode()).hexdigest()


def encode(block: Block) -> bytes:
    """The bytes of a block.

    Raises:
        ValueError: for arrays that are not numbers or truth values, or a name zarr forbids.
    """
    members = {"zarr.json": _node("group", attributes=_attributes(block))}
    for name in sorted(block.arrays):
        array = np.asarray(block.arrays[name])
        if not isinstance(name, str) or _FORBIDDEN.search(name):
            raise ValueError(
                f"block {block.name}: an array cannot be called {name!r}; use a name without '/', "
                "not 'zarr.json', and not starting with '__'"
            )
        if array.dtype.name not in _TYPES:
            raise ValueError(
                f"block {block.name}: array {name!r} has dtype {array.dtype}; a store keeps "
                "truth values, whole numbers, and floating or complex numbers of 64 bits at most "
                "per part"
            )
        members[f"{name}/zarr.json"] = _node("array", **_description(array))
        chunk = "/".join(["c", *("0" for _ in array.shape)])
        if array.size:
            members[f"{name}/{chunk}"] = array.astype(array.dtype.newbyteorder("<")).tobytes()
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        for path, content in members.items():
            # one date for all: equal blocks are equal files
            archive.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), content)
        shown = f"{min(max(block.seconds, 0.0), 1e8):016.6f}"
        archive.comment = f"widthwise seconds={shown} sha256={'0' * _DIGITS}".encode()
    head = raw.getvalue()[:-_DIGITS]
    return head + hashlib.sha256(head).hexdigest().encode()


def check(data: bytes, name: str) -> float:
    """The seconds of a block whose bytes are those that were written.

    Raises:
        DamagedBlock: for any others.
    """
    found = _COMMENT.search(data[-_LONGEST:])
    if found is None:
        raise DamagedBlock(f"block {name} is damaged: its end is missing ({len(data)} bytes)")
    head = memoryview(data)[:-_DIGITS]
    if hashlib.sha256(head).hexdigest().encode() != found[2]:
        raise DamagedBlock(f"block {name} is damaged: its checksum is not that of its bytes")
    return float(found[1])


def content_digest(data: bytes) -> str:
    """SHA-256 of a block without its seconds: equal for equal arrays of equal jobs."""
    return hashlib.sha256(memoryview(data)[:-_LONGEST]).hexdigest()


def attributes(data: bytes, name: str) -> dict[str, str]:
    """The name and the payload's digest in a block's bytes, checked to be of this name."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            said = json.loads(archive.read("zarr.json"))["attributes"]
        found = {"name": said["name"], "payload": said["payload"]}
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise DamagedBlock(f"block {name} is damaged: {error}") from error
    if found["name"] != name:
        raise DamagedBlock(f"block {name} is damaged: its file holds block {found['name']}")
    return found


def decode(data: bytes, name: str) -> Block:
    """The block in these bytes, verified.

    Raises:
        DamagedBlock: for bytes that are not those written for this name.
    """
    seconds = check(data, name)
    said = attributes(data, name)
    arrays = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = set(archive.namelist())
            for path in sorted(members - {"zarr.json"}):
                key, _, rest = path.partition("/")
                if rest != "zarr.json":
                    continue
                node = json.loads(archive.read(path))
                shape, kind = tuple(node["shape"]), np.dtype(node["data_type"])
                chunk = "/".join([key, "c", *("0" for _ in shape)])
                raw = archive.read(chunk) if math.prod(shape) else b""
                values = np.frombuffer(raw, kind.newbyteorder("<")).reshape(shape)
                arrays[key] = values.astype(kind)  # native, and its own memory
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise DamagedBlock(f"block {name} is damaged: {error}") from error
    return Block(name, said["payload"], arrays, seconds)


def _attributes(block: Block) -> dict[str, str]:
    return {"name": block.name, "payload": block.payload}


def _description(array: np.ndarray) -> dict:
    """Zarr's metadata of an array of one chunk."""
    zero = [0.0, 0.0] if array.dtype.kind == "c" else array.dtype.type(0).item()
    codec = {"name": "bytes"}
    if array.dtype.itemsize > 1:
        codec["configuration"] = {"endian": "little"}  # pyright: ignore[reportArgumentType]
    grid = {"chunk_shape": [max(1, n) for n in array.shape]}
    return {
        "shape": list(array.shape),
        "data_type": array.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": grid},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": zero,
        "codecs": [codec],
        "attributes": {},
    }


def _node(kind: str, **fields) -> bytes:
    return json.dumps({"zarr_format": 3, "node_type": kind, **fields}).encode()
