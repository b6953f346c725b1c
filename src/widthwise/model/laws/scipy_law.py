"""Any law of ``scipy.stats``, standardized.

Discrete laws are sums over their atoms, out to probabilities of 1e-290. Continuous ones are
integrals over the quantiles: with u = e^{−s} the mass left in a tail,

    E g(W) = Σ over both tails of ∫_{log 2}^{690} g(W at tail mass e^{−s}) e^{−s} ds,

on Legendre panels in s that halve until the quantile function is resolved (corners of a histogram
included). The rule must give back scipy's own mean and variance to 1e-7, or the law is refused.
Moments and cumulants start from floats: about 1e-13 where scipy's quantiles are accurate, less at
high orders; a moment that lies beyond the depths s which scipy can compute is refused.

A moment exists unless the tail is a power law: with x(s) the tail quantile, the index
α = ds / d log x is then the same over the second and the last two quarters of those depths, and
moments exist for r < α; a lighter tail (log-normal, say) has a growing α.
"""

import functools
import importlib
import math
import warnings
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from widthwise.model.laws import _gauss, _panels
from widthwise.model.laws.law import Law

_MOST_ATOMS = 1_000_000
_TAILS = ("ppf", "isf")
_DEPTHS = np.concatenate(
    [[math.log(2), 1, 2, 3, 5, 8], np.arange(12, 41, 4), np.geomspace(50, 690, 12)]
)


@dataclass(frozen=True, repr=False)
class ScipyLaw(Law):
    """W = (X − E X)/√Var X for a frozen ``scipy.stats`` distribution X; made by ``from_scipy``.

    Two values are equal if they name the same scipy distribution with the same arguments.

    Characteristic function: Legendre–Bessel quadrature of scipy's density on adaptive panels,
    absolute error about 1e-12 at any frequency (1e-10 for densities singular at an end); above 1e-6
    it raises. Quadrature: the Gauss rule of the finely discretized law, or panels in the quantiles
    where tails are too heavy for Gauss rules, whichever integrates six test functions better. Error
    at 64 nodes for smooth g: 1e-13 for exponential or lighter tails, 1e-6 to 1e-3 for power laws
    and log-normal ones.
    """

    label: str
    identity: tuple
    distribution: Any = field(compare=False)

    def __repr__(self) -> str:
        return f"from_scipy(stats.{self.label})"

    @property
    def name(self) -> str:
        return f"scipy:{self.label}"

    @functools.cached_property
    def discrete(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        return not hasattr(self.distribution.dist, "pdf")

    @functools.cached_property
    def symmetric(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.discrete:
            z, p = self._rule
            if len(z) != len(np.unique(z)) or np.abs(p - p[::-1]).max() > 1e-12:
                return False
            return bool(np.abs(z + z[::-1])[p > 1e-15].max() < 1e-9)
        u = np.array([1e-9, 1e-6, 1e-3, 0.05, 0.2, 0.35, 0.47])
        left, right = self._quantile("ppf", u), self._quantile("isf", u)
        return bool((np.abs(left + right) <= 1e-9 * (1 + np.abs(right))).all())

    @functools.cached_property
    def support(self) -> tuple[float, float]:  # pyright: ignore[reportIncompatibleMethodOverride]
        low, high = (float(self._scaled(x)) for x in self.distribution.support())
        return (low, high)

    @functools.cached_property
    def highest_moment(self) -> float:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self.discrete:
            return math.inf
        index = min(self._tail_index(tail) for tail in _TAILS)
        return index if math.isinf(index) else float(math.ceil(index) - 1)

    @functools.cached_property
    def _mean_variance(self) -> tuple[float, float]:
        if self.discrete:
            x, p = self._raw_atoms
            mean = math.fsum(p * x)
            return mean, math.fsum(p * (x - mean) ** 2)
        mean, variance = (float(v) for v in self.distribution.stats(moments="mv"))
        return mean, variance

    @functools.cached_property
    def _depths(self) -> dict[str, np.ndarray]:
        """Depths s at which scipy's quantile of tail mass e^{−s} is finite and moves outwards."""
        depths = {}
        for tail, direction in zip(_TAILS, (-1, 1), strict=True):
            z = self._quantile(tail, np.exp(-_DEPTHS))
            good = np.isfinite(z)
            good[1:] &= direction * np.diff(np.where(good, z, 0.0)) >= 0
            depths[tail] = _DEPTHS[: max(2, len(z) if good.all() else int(np.argmin(good)))]
        return depths

    def _scaled(self, x: Any) -> np.ndarray:
        mean, variance = self._mean_variance
        return np.asarray((np.asarray(x, np.float64) - mean) / math.sqrt(variance))

    def _quantile(self, tail: str, u: np.ndarray) -> np.ndarray:
        """The standardized quantile of mass u in a tail; not finite where scipy fails."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self._scaled(getattr(self.distribution, tail)(u))

    def _tail_index(self, tail: str) -> float:
        """α of a tail P(|X| > x) ~ x^{−α}; infinite for lighter tails."""
        s = self._depths[tail][-1] * np.array([0.25, 0.5, 1.0])
        z = np.abs(self._quantile(tail, np.exp(-s)))
        if z[0] == 0 or z[1] <= z[0] * (1 + 1e-9) or z[2] <= z[1] * (1 + 1e-9):
            return math.inf
        near, far = np.diff(s) / np.diff(np.log(z))
        return float(round(far, 6)) if abs(far / near - 1) < 0.02 else math.inf

    @functools.cached_property
    def _raw_atoms(self) -> tuple[np.ndarray, np.ndarray]:
        law = self.distribution
        low, high = (float(x) for x in law.support())
        if hasattr(law.dist, "xk"):  # rv_discrete(values=...): atoms need not be integers
            x = np.sort(np.asarray(law.dist.xk, float))
            x = x + (low - x.min())
        else:
            first = low if math.isfinite(low) else self._far(-1)
            last = high if math.isfinite(high) else self._far(1)
            if last - first > _MOST_ATOMS:
                raise ValueError(
                    f"{self!r} has more than {_MOST_ATOMS} atoms of probability above 1e-290: "
                    "its tail is too heavy; pass a truncated version as Discrete(...)"
                )
            x = np.arange(first, last + 1)
        p = law.pmf(x)
        return x[p > 0], p[p > 0] / math.fsum(p[p > 0])

    def _far(self, direction: int) -> float:
        """The atom beyond which probabilities are negligible."""
        middle, step = float(self.distribution.median()), 1
        while self.distribution.pmf(middle + direction * step) > 1e-290 and step <= _MOST_ATOMS:
            step *= 2
        return middle + direction * step

    @functools.cached_property
    def _rule(self) -> tuple[np.ndarray, np.ndarray]:
        """A fine rule for E g(W), ascending: all atoms, or panels in the quantiles of two tails."""
        if self.discrete:
            x, p = self._raw_atoms
            return self._scaled(x), p
        sides = []
        for tail in _TAILS:
            panels = _panels.resolve(
                lambda s, tail=tail: self._quantile(tail, np.exp(-s)),
                self._depths[tail],
                lambda s: np.exp(s / 2),  # the farther out, the less it weighs
                3e-14,
                deepest=25,
                most=256,
            )
            z, s = panels.values.ravel(), panels.nodes.ravel()
            sides.append((z, panels.weights.ravel() * np.exp(-s)))
        (left, a), (right, b) = sides
        z, w = np.concatenate([left, right]), np.concatenate([a, b])
        z, w = z[np.isfinite(z)], w[np.isfinite(z)]
        order = np.argsort(z, kind="stable")
        return z[order], w[order] / w.sum()

    def _check(self) -> None:
        z, w = self._rule
        mean, square = math.fsum(w * z), math.fsum(w * z**2)
        if not (abs(mean) < 1e-7 and abs(square - 1) < 1e-7):
            raise ValueError(
                f"{self!r} could not be integrated: its quantiles give mean {mean:.3g} and "
                f"variance {square:.9g} after standardization instead of 0 and 1. Its tails may be "
                "too heavy, or its ppf inaccurate; pass a truncated or discretized version as "
                "Discrete(...)"
            )

    def _moment(self, order: int) -> Fraction:
        if order in (0, 1, 2):
            return Fraction(1 - order % 2)
        if order % 2 and self.symmetric:
            return Fraction(0)
        z, w = self._rule
        with np.errstate(over="ignore"):
            terms = w * z**order
        if not np.isfinite(terms).all():
            raise OverflowError(f"moment {order} of {self!r} is larger than the largest float")
        total = math.fsum(terms)
        missed = 0.0 if self.discrete else sum(map(self._beyond, _TAILS, (order, order)))
        if missed > 1e-8 * math.fsum(np.abs(terms)):
            raise ValueError(
                f"moment {order} of {self!r} does not exist or lies too far out in its tail: "
                f"scipy's quantiles miss about {missed:.1g} of {total:.3g}; take a lower order, or "
                "a law of widthwise.laws"
            )
        return Fraction(total)

    def _beyond(self, tail: str, order: int) -> float:
        """What the fine rule misses of E|W|^r: ∫ |W|^r e^{−s} ds beyond its last quantile."""
        s = float(self._depths[tail][-1])
        z, nearer = np.abs(self._quantile(tail, np.exp(-np.array([s, s - 0.5]))))
        growth = 2 * math.log(z / nearer) if z > nearer > 0 else 0.0  # d log|W| / ds
        size = math.exp(min(order * math.log(max(z, 1e-300)) - s, 700.0))
        return size / max(1 - order * growth, 1e-9)

    @functools.cached_property
    def _spectral(self) -> tuple[_panels.Panels, np.ndarray, np.ndarray]:
        """The density on panels between quantiles; what lies beyond is an atom at each end.

        Within 1e-10 of a finite end a float no longer resolves a singular density, nor need it: an
        atom of the known mass is as good.
        """
        edges, atoms, masses = [], [], []
        for tail in _TAILS:
            s = np.append(_DEPTHS[0], np.arange(1, min(40, self._depths[tail][-1]) + 0.25, 0.5))
            z = self._quantile(tail, np.exp(-s))
            kept = max(1, int(np.sum(np.abs(z - z[-1]) > 1e-10)))
            if math.isinf(self.support[0 if tail == "ppf" else 1]):
                kept = len(z)
            edges.append(z[:kept])
            atoms.append(z[-1])
            masses.append(math.exp(-s[kept - 1]))
        panels = _panels.resolve(
            self._density, np.unique(np.concatenate(edges)), np.ones_like, 1e-14
        )
        mass = float((panels.weights * panels.values).sum()) + sum(masses)
        error = panels.error + abs(mass - 1)
        if not error < 1e-6:
            raise RuntimeError(
                f"the characteristic function of {self!r} would be wrong by about {error:.1e}: its "
                "density is too rough for quadrature; pass a discretized version as Discrete(...)"
            )
        return panels, np.array(atoms), np.array(masses)

    def _characteristic(self, t: np.ndarray) -> np.ndarray:
        if self.discrete:
            total, (atoms, masses) = np.zeros(t.shape, complex), self._rule
        else:
            panels, atoms, masses = self._spectral
            total = panels.fourier(t)
        for z, p in zip(atoms, masses, strict=True):
            total += p * np.exp(1j * t * z)
        return total

    def _density(self, z: np.ndarray) -> np.ndarray:
        if self.discrete:
            return super()._density(z)
        mean, variance = self._mean_variance
        deviation = math.sqrt(variance)
        return deviation * self.distribution.pdf(mean + deviation * z)

    def _quadrature(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        z, w = self._rule
        if self.discrete:
            return z, w
        kept = w > 1e-60
        gauss = _gauss.of_atoms(z[kept], w[kept], count, self.symmetric)

        def error(rule: tuple[np.ndarray, np.ndarray]) -> float:
            errors = np.abs([rule[1] @ f(rule[0]) - w @ f(z) for f in _PROBES])
            return float(errors.max()) if np.isfinite(errors).all() else math.inf

        if error(gauss) < 1e-12:
            return gauss
        return min(gauss, self._coarse(count), key=error)

    def _coarse(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """About ``count`` nodes: 8-point Gauss–Legendre panels in s, growing into both tails."""
        panels = max(1, round(count / 16))
        points = min(8, (count + 1) // 2)
        edges = math.log(2) + 36 * np.linspace(0, 1, panels + 1) ** 1.5
        x, w = np.polynomial.legendre.leggauss(points)
        half = np.diff(edges)[:, None] / 2
        s = (edges[:-1, None] + half * (1 + x)).ravel()
        weights = (half * w).ravel() * np.exp(-s)
        left, right = self._quantile("ppf", np.exp(-s)), self._quantile("isf", np.exp(-s))
        nodes = np.concatenate([left[::-1], right])
        weights = np.concatenate([weights[::-1], weights])
        nodes, weights = nodes[np.isfinite(nodes)], weights[np.isfinite(nodes)]
        return nodes, weights / weights.sum()

    def _sample(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        u = jax.random.uniform(key, shape, dtype)
        u = u + np.asarray(np.finfo(dtype).eps / 2, dtype)  # the middle of its cell: never 0 or 1

        def quantile(u: Any) -> np.ndarray:
            return self._quantile("ppf", np.asarray(u, np.float64)).astype(dtype)

        result = jax.ShapeDtypeStruct(shape, dtype)
        return jax.pure_callback(quantile, result, u, vmap_method="expand_dims")


_PROBES = (np.sin, np.cos, np.tanh, lambda z: np.cos(2 * z), np.square, lambda z: z / (1 + z**2))


def from_scipy(distribution: object) -> ScipyLaw:
    """The standardized law (X − E X)/√Var X of a frozen ``scipy.stats`` distribution.

    Args:
        distribution: continuous or discrete with scalar parameters, such as ``stats.beta(2, 3)``.

    Raises:
        ValueError: not a frozen distribution, parameters out of range, no finite positive variance,
            or quantiles that do not reproduce mean and variance.
    """
    law: Any = distribution
    if not (hasattr(law, "dist") and hasattr(law, "ppf") and hasattr(law, "args")):
        remedy = (
            "give its parameters, as in stats.norm()"
            if hasattr(law, "ppf")
            else ("pass one such as scipy.stats.beta(2, 3)")
        )
        raise ValueError(f"expected a frozen scipy.stats distribution, got {law!r}; {remedy}")
    arguments = (*law.args, *law.kwds.values())
    if any(np.ndim(a) for a in arguments):
        raise ValueError(
            f"a law of weights needs scalar parameters, got {law.args} {law.kwds}; "
            "make one law per set of parameters"
        )
    args = tuple(float(a) for a in law.args)
    kwds = tuple(sorted((k, float(v)) for k, v in law.kwds.items()))
    words = [f"{a:g}" for a in args] + [f"{k}={v:g}" for k, v in kwds]
    kind = type(law.dist)
    # a distribution of scipy's own is its name and numbers; one made by hand is only itself
    own = type(getattr(importlib.import_module("scipy.stats"), law.dist.name, None)) is kind
    identity = (kind.__qualname__, args, kwds) if own else (law,)
    result = ScipyLaw(f"{law.dist.name}({', '.join(words)})", identity, law)
    low, high = law.support()
    if not low < high:
        raise ValueError(f"{result!r} has parameters out of range or is a single point")
    mean, variance = result._mean_variance
    if not (math.isfinite(mean) and 0 < variance < math.inf):
        raise ValueError(
            f"a law of weights needs a finite positive variance, got mean {mean:g} and variance "
            f"{variance:g} from {result!r}; choose parameters with lighter tails"
        )
    result._check()
    return result
