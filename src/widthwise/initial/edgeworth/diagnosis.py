"""When to believe a truncated law: negative density, optimal order, Cramér's condition.

The contribution of order k to the density is N(z; 0, K) g_k(z). Its L¹ norm is the size of the
order; the series is best stopped before the smallest one, which estimates the remainder. Successive
orders differ in L¹ by that norm, and their distribution functions by less than half of it. An
output bias that is not Gaussian smooths all of this; of a joint law the negative mass and the L¹
norms are those without it, which it can only lessen.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri
from scipy.stats import qmc

from widthwise.algebra.gaussian import trapezoid_line
from widthwise.initial.edgeworth import lattice
from widthwise.initial.edgeworth.expansion import Expansion, hermite_sum
from widthwise.initial.edgeworth.lattice import CramerScan
from widthwise.initial.edgeworth.line import Line
from widthwise.initial.edgeworth.readout import Readout

_NOTHING = 1e-14
_SOBOL_EXPONENT = 15
_WORTH_SAYING = 1e-6
_LARGE = 0.05


@dataclass(frozen=True, eq=False)
class LawDiagnosis:
    """What speaks against a truncated law at one width; ``str()`` says it in sentences.

    Args:
        width: n.
        order: the last order summed.
        optimal_order: the order before the smallest contribution to the density.
        remainder: the size (L¹) of that contribution: the error to expect of the optimal order.
        negative_mass: ∫ of the negative part of the density, as a number of at least 0.
        negative_where: of one projection the intervals (a, b) on which the density is negative; of
            a joint law the one point at which it is most negative.
        density_distances: L¹ distance between the densities of orders k − 1 and k, k = 1 … P.
        distribution_distances: sup distance between their distribution functions; of a joint law
            the largest over its coordinates.
        cramer: the scan of the neuron's characteristic function, ``None`` if no network is known.
        warnings: sentences, none if all is well.
    """

    width: float
    order: int
    optimal_order: int
    remainder: float
    negative_mass: float
    negative_where: tuple[tuple[float, ...], ...]
    density_distances: Float[np.ndarray, " orders"]
    distribution_distances: Float[np.ndarray, " orders"]
    cramer: CramerScan | None
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"width {self.width:g}, order {self.order}: "
            + ("nothing speaks against this law" if not self.warnings else "take care"),
            *(f"- {warning}" for warning in self.warnings),
            f"best order {self.optimal_order}, remainder about {self.remainder:.1e} (L1)",
            f"negative mass {self.negative_mass:.1e}",
            "order to order, density (L1): " + _numbers(self.density_distances),
            "order to order, distribution (sup): " + _numbers(self.distribution_distances),
            "Cramér's condition: " + (str(self.cramer) if self.cramer else "no network to examine"),
        ]
        return "\n".join(lines)


def optimal_order(sizes: Float[np.ndarray, " orders"]) -> int:
    """The order before the smallest contribution, of the sizes of orders 1, 2, …"""
    present = np.flatnonzero(sizes > _NOTHING)
    if not len(present):
        return len(sizes)
    if sizes[present[0]] >= 1:
        return 0
    smallest = present[np.argmin(sizes[present])]
    return len(sizes) if smallest == present[-1] else int(smallest)


def remainder(sizes: Float[np.ndarray, " orders"], width: float) -> float:
    """The smallest contribution; n^{-(P+1)/2} where no order contributes."""
    present = sizes[sizes > _NOTHING]
    return float(present.min()) if len(present) else width ** (-(len(sizes) + 1) / 2)


def sizes_on_line(law: Line) -> np.ndarray:
    """∫ |N g_k| of one projection, k = 1 … P, from a law whose functions are the orders."""
    u = _grid(law)
    return np.trapezoid(np.abs(law.density(u)[1:]), u)


def _grid(law: Line) -> np.ndarray:
    return np.linspace(-law.reach, law.reach, 2001)


def of_projection(
    law: Line,
    std: float,
    width: float,
    order: int,
    readout: Readout | None,
) -> LawDiagnosis:
    """Diagnosis of the law of one projection, from its orders at a width."""
    sizes = sizes_on_line(law)
    total = law.summed(order)
    edges = total.sign_changes()
    heights = total.distribution(edges)
    heights[0], heights[-1] = 0.0, 1.0
    negative = total.density((edges[1:] + edges[:-1]) / 2) < 0
    mass = abs(float(np.diff(heights)[negative].sum()))
    outer = np.where(np.abs(edges) >= edges[-1], np.sign(edges) * np.inf, edges * std)
    where = tuple((float(outer[i]), float(outer[i + 1])) for i in np.flatnonzero(negative))
    scan = None if readout is None else lattice.scan(readout, width)
    distribution = _distribution_distances(law)
    best, left = optimal_order(sizes), remainder(sizes, width)
    places = " and ".join(f"for z in ({a:.4g}, {b:.4g})" for a, b in where)
    said = _warnings(width, order, best, left, mass, places, scan)
    return LawDiagnosis(width, order, best, left, mass, where, sizes, distribution, scan, said)


def _distribution_distances(law: Line) -> np.ndarray:
    """Sup |F_k − F_{k−1}|, k = 1 … P."""
    return np.abs(law.distribution(_grid(law))[1:]).max(1)


def sizes_of_joint(expanded: Expansion, width: float) -> np.ndarray:
    """∫ |N g_k| of a joint law, k = 1 … P."""
    u, w = _nodes(expanded.indices.shape[1])
    values = hermite_sum(u, expanded.indices, expanded.coefficients)
    powers = width ** (-0.5 * np.arange(values.shape[1]))
    return (w @ np.abs(values) * powers)[1:]


def of_joint(
    expanded: Expansion,
    factor: Float[np.ndarray, "k k"],
    width: float,
    order: int,
    marginals: list[Line],
    readout: Readout | None,
) -> LawDiagnosis:
    """Diagnosis of a joint law from the expansion of its whitened coordinates.

    Args:
        expanded: the law of u = L⁻¹Z.
        factor: L.
        width: n.
        order: the last order summed.
        marginals: the law of every coordinate at this width.
        readout: the outputs, if known.
    """
    u, w = _nodes(len(factor))
    powers = width ** (-0.5 * np.arange(expanded.coefficients.shape[1]))
    values = hermite_sum(u, expanded.indices, expanded.coefficients * powers)
    sizes = (w @ np.abs(values))[1:]
    ratio = values[:, : order + 1].sum(1)
    mass = float(w @ np.maximum(-ratio, 0.0))
    worst = int(np.argmin(ratio * np.exp(-(u * u).sum(1) / 2)))
    where = (tuple((factor @ u[worst]).tolist()),) if ratio[worst] < 0 else ()
    scan = None if readout is None else lattice.scan(readout, width)
    distribution = np.max([_distribution_distances(one) for one in marginals], axis=0)
    best, left = optimal_order(sizes), remainder(sizes, width)
    place = " ".join(f"most at z = ({', '.join(f'{c:.3g}' for c in z)})" for z in where)
    said = _warnings(width, order, best, left, mass, place, scan)
    return LawDiagnosis(width, order, best, left, mass, where, sizes, distribution, scan, said)


def _nodes(dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the standard normal."""
    if dimension <= 2:
        u, w = trapezoid_line(0.0625 if dimension == 2 else 0.01)
        grid = np.stack(np.meshgrid(*(u,) * dimension, indexing="ij"), -1).reshape(-1, dimension)
        weights = w if dimension == 1 else np.outer(w, w).ravel()
        return grid, weights
    points = qmc.Sobol(dimension, rng=0).random_base2(_SOBOL_EXPONENT)
    return ndtri(np.clip(points, 1e-16, 1 - 1e-16)), np.full(len(points), 1 / len(points))


def _warnings(width, order, best, left, mass, place, scan: CramerScan | None) -> tuple[str, ...]:
    said = []
    if mass > _WORTH_SAYING:
        said.append(f"the density is negative {place}, by {mass:.1e} in all")
    if order > best:
        said.append(
            f"at width {width:g} contributions grow after order {best}: order {order} is worse; "
            f"use order={best}"
        )
    if left > _LARGE:
        said.append(
            f"width {width:g} is small for this series: no order is known to be closer than about "
            f"{left:.2g} (L1)"
        )
    if scan is not None and scan.neglected > max(left, _WORTH_SAYING):
        said.append(str(scan))
    return tuple(said)


def _numbers(values: np.ndarray) -> str:
    return ", ".join(f"{v:.1e}" for v in values) or "none"
