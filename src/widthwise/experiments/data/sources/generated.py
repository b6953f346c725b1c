r"""Generated sets: points drawn by a seed, with targets in closed form.

    sphere      x uniform on the sphere of radius √d in R^d,  y = x₁ + x₁x₂ + noise · ξ
    circle      x = √2 (cos θ, sin θ), θ uniform,             y = sin 2θ + noise · ξ
    two_moons   two half circles, as in scikit-learn,         classes upper and lower
    blobs       ±(1, …, 1)/√d + noise · ξ (0.5 if not given), classes left and right

ξ are standard Gaussian. A pool of points is made, from which train and test points are drawn.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from widthwise.experiments.data.table import Table

_POOL = 4  # points made for every point asked for; at least _LEAST
_LEAST = 256


def generated_set(name: str, count: int, inputs: int, noise: float, seed: int) -> Table:
    """The points of one generated set, at least ``count`` of each class."""
    rng = np.random.default_rng([seed, len(name), *name.encode()])
    x, y, labels, target = _MADE[name](rng, max(_LEAST, _POOL * count), inputs, noise)
    kind = "regression" if labels is None else "2 classes"
    return Table(
        name=name,
        about=f"{name} (generated, seed {seed}): {len(x)} points of {x.shape[1]} features; "
        f"target: {target} ({kind}), noise {noise:g}",
        x=x,
        y=None if y is None else y[:, None],
        labels=labels,
        features=tuple(f"x{j + 1}" for j in range(x.shape[1])),
        row=lambda i: f"point {i}",
    )


_Made = tuple[np.ndarray, np.ndarray | None, np.ndarray | None, str]


def _sphere(rng: np.random.Generator, count: int, inputs: int, noise: float) -> _Made:
    x = rng.normal(size=(count, inputs))
    x *= np.sqrt(inputs) / np.linalg.norm(x, axis=1, keepdims=True)
    y = x[:, 0] + x[:, 0] * x[:, 1] + noise * rng.normal(size=count)
    return x, y, None, "x₁ + x₁x₂"


def _circle(rng: np.random.Generator, count: int, inputs: int, noise: float) -> _Made:
    angle = rng.uniform(0, 2 * np.pi, count)
    x = np.sqrt(2) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x, np.sin(2 * angle) + noise * rng.normal(size=count), None, "sin 2θ"


def _two_moons(rng: np.random.Generator, count: int, inputs: int, noise: float) -> _Made:
    angle, lower = rng.uniform(0, np.pi, count), np.arange(count) % 2 == 1
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x[lower] = [1.0, 0.5] - x[lower]
    x += noise * rng.normal(size=x.shape)
    return x, None, np.where(lower, "lower", "upper"), "the half circle"


def _blobs(rng: np.random.Generator, count: int, inputs: int, noise: float) -> _Made:
    right = np.arange(count) % 2 == 1
    centre = np.where(right, 1.0, -1.0)[:, None] / np.sqrt(inputs)
    x = centre + (noise or 0.5) * rng.normal(size=(count, inputs))
    return x, None, np.where(right, "right", "left"), "the blob"


_MADE: dict[str, Callable[[np.random.Generator, int, int, float], Any]] = {
    "sphere": _sphere,
    "circle": _circle,
    "two_moons": _two_moons,
    "blobs": _blobs,
}
GENERATED = tuple(_MADE)
