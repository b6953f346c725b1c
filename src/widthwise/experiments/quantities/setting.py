"""A grid point made ready for numbers: its data loaded, its network built, its key."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from widthwise.experiments.data import Dataset, load
from widthwise.experiments.data.kept import read
from widthwise.experiments.execute.single_thread import one_thread
from widthwise.experiments.quantities.payload import Request, canonical, content, parse
from widthwise.experiments.spec import GridPoint
from widthwise.experiments.spec.study.sections import StudyNetwork
from widthwise.limit.flow import LinearFlow, linear_flow
from widthwise.model.architecture import MLP


@dataclass(frozen=True, eq=False)
class Setting:
    """What one grid point means.

    Args:
        point: its fields.
        hash: its name.
        dataset: train and test points.
        drawn: names what the networks depend on: data, network, training, seed.
    """

    point: GridPoint
    hash: str
    dataset: Dataset
    drawn: str

    @cached_property
    def net(self) -> MLP:
        """The network."""
        return self.point.network(self.dataset.outputs)

    @property
    def width(self) -> int:
        """The width n."""
        return self.point.network.width

    @property
    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Train points, labels, test points."""
        return self.dataset.x_train, self.dataset.y_train, self.dataset.x_test

    @cached_property
    def x(self) -> Float[np.ndarray, "points inputs"]:
        """Train points first, then test points."""
        return np.concatenate([self.dataset.x_train, self.dataset.x_test])

    @property
    def followed(self) -> tuple[int, ...]:
        """Rows of ``x`` whose laws are followed."""
        return tuple(len(self.dataset.x_train) + p for p in self.point.compute.points)

    @cached_property
    def times(self) -> Float[np.ndarray, " times"]:
        """Recorded moments."""
        return np.asarray(self.point.training.times, dtype=float)

    @cached_property
    def flow(self) -> LinearFlow:
        """Training at infinite width; that of other widths is the same one.

        With one thread, whoever asks first: what is kept must not depend on who that was.
        """
        with one_thread():
            return _flow(_Limit(self.point.network.model_copy(update={"width": 1}), self.dataset))

    @property
    def clock(self) -> dict[str, Any]:
        """How the flow is told the recorded moments."""
        training = self.point.training
        if training.method == "descent":
            return {"steps": self.times, "step": training.step}
        return {"t": self.times}

    @property
    def key(self) -> jax.Array:
        """Draws the networks, members by their number.

        The key depends on data, network, training and seed alone, so a network is the same whatever
        the block, and whatever else is asked about it.
        """
        number = int(self.drawn, 16)
        key = jax.random.fold_in(jax.random.key(self.point.seed), number >> 32)
        return jax.random.fold_in(key, number & 0xFFFFFFFF)


def setting(request: Request) -> Setting:
    """The setting of a request; the last few are kept, with what they computed.

    Points that the study's directory keeps are read there, all others from their source.
    """
    kept = request.kept_points
    if kept is not None and not kept.is_file():
        kept = None
    if kept is None and request.file is not None and content(request.file[0]) != request.file[1]:
        raise ValueError(
            f"{request.file[0]} is not the file this study was planned with (its content has "
            "another hash); put the old file back, or run the study into a new folder"
        )
    without = {"quantity": "limit_kernels", "block": 0}
    payload = canonical({**without, "fields": request.fields, "point": request.hash,
                         "file": request.file})  # fmt: skip
    return _setting(payload, kept)


@lru_cache(maxsize=16)
def _setting(payload: str, kept: Path | None) -> Setting:
    request = parse(payload)
    point: Any = request.point  # frozen, so its data can be told apart
    sha = None if request.file is None else request.file[1]
    decisive = {k: request.fields.get(k) for k in ("data", "network", "training", "seed")}
    drawn = hashlib.sha256(canonical(decisive).encode()).hexdigest()[:16]
    return Setting(point, request.hash, _loaded(point.data, sha, kept), drawn)


@lru_cache(maxsize=16)
def _loaded(data: Any, sha: str | None, kept: Path | None) -> Dataset:
    """The points; a file that changed is another one, though its path is the same."""
    return load(data, data.seed) if kept is None else read(kept)


@dataclass(frozen=True, eq=False)
class _Limit:
    """Network and data that share a limit, told apart by their content."""

    network: StudyNetwork
    dataset: Dataset

    def __hash__(self) -> int:
        return hash((self.network, self.dataset.hash))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Limit) or self.network != other.network:
            return False
        return self.dataset.hash == other.dataset.hash


@lru_cache(maxsize=16)
def _flow(limit: _Limit) -> LinearFlow:
    data = limit.dataset
    net = limit.network(data.outputs)
    return linear_flow(net, data.x_train, data.y_train, data.x_test)
