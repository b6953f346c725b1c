r"""Points whose outputs are tied to each other at every value of the parameters.

    x' = x                                         f(x') = f(x);
    x' = -x, φ even, no bias in the first layer    f(x') = f(x);
    x' = -x, φ odd, no biases                      f(x') = -f(x);
    x' = 0, φ odd or φ(cz) = c^p φ(z), no biases   f(x') = 0;
    x' = cx, c > 0, φ(cz) = c^p φ(z), no biases    f(x') = c^{p^L} f(x);
    x' = cx, c < 0, the same and φ even or odd     f(x') = |c|^{p^L} f(x) or -|c|^{p^L} f(x).

Within a group f(x_i) = κ_i f, so the tangent kernel is singular, and no parameters bring the loss
below Σ_groups ½ Σ_outputs (|y|² - (κ·y)²/|κ|²); for two equal inputs that is ¼(y - y')². Where the
labels agree, y_i = κ_i y, training is that of one point of multiplicity |κ|². Relations are exact,
in rational numbers: inputs that are nearly equal are different points, whose labels may well be
fitted, and labels agree or they do not.
"""

import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

import numpy as np
from jaxtyping import Float

from widthwise.certify.outward import down
from widthwise.model.architecture import MLP

TINIEST = math.ulp(0.0)
"""The smallest float above 0."""
_LARGEST_FLOAT = Fraction(sys.float_info.max)
_LARGEST_POWER = 1000  # of a factor c^{p^L}; beyond it no relation is looked for


@dataclass(frozen=True, eq=False)
class Group:
    """Points with f(x_i) = κ_i f for all parameters.

    Args:
        points: rows of the data, increasing.
        ratios: κ, that of the first point 1; all 0 for points whose output is 0.
    """

    points: tuple[int, ...]
    ratios: tuple[Fraction, ...]

    @property
    def factors(self) -> Float[np.ndarray, " group"]:
        """κ, rounded."""
        return np.array([float(ratio) for ratio in self.ratios])

    @property
    def multiplicity(self) -> float:
        """|κ|²."""
        return float(self.factors @ self.factors)

    def exact_loss(self, y: Float[np.ndarray, "points outputs"]) -> Fraction:
        """The smallest loss these points can have; 0 where their labels agree, and only there."""
        labels = [[Fraction(float(value)) for value in y[i]] for i in self.points]
        mass, total = sum(ratio**2 for ratio in self.ratios), Fraction(0)
        for component in zip(*labels, strict=True):
            total += sum(value**2 for value in component)
            if mass:
                along = sum(k * v for k, v in zip(self.ratios, component, strict=True))
                total -= along**2 / mass
        return total / 2

    def least_loss(self, y: Float[np.ndarray, "points outputs"]) -> float:
        """A float at most the smallest loss; 0 also where the loss is below every float."""
        return from_below(self.exact_loss(y))


def from_below(value: Fraction) -> float:
    """The largest float that is at most a nonnegative number."""
    if value > _LARGEST_FLOAT:
        return float(_LARGEST_FLOAT)
    near = float(value)
    return near if near <= value else math.nextafter(near, 0.0)


def groups_of(net: MLP, x: Float[np.ndarray, "points inputs"]) -> tuple[Group, ...]:
    """All points in groups, in the order of their first points; most groups have one point."""
    found: list[tuple[list[int], list[Fraction]]] = []
    for i, point in enumerate(x):
        for points, ratios in found:
            factor = _factor(net, x[points[0]], point)
            if factor is not None:
                points.append(i)
                ratios.append(factor if ratios[0] else Fraction(0))
                break
        else:
            found.append(([i], [Fraction(0 if _vanishes(net, point) else 1)]))
    return tuple(Group(tuple(points), tuple(ratios)) for points, ratios in found)


def _unbiased(net: MLP) -> bool:
    return not any(net.has_bias(l) for l in range(net.depth + 1))


def _vanishes(net: MLP, x: np.ndarray) -> bool:
    odd = net.activation.parity == "odd" or bool(net.activation.homogeneity)
    return odd and _unbiased(net) and not x.any()


def _factor(net: MLP, x: np.ndarray, x2: np.ndarray) -> Fraction | None:
    """κ with f(x2) = κ f(x) for all parameters, if it is known."""
    if (x == x2).all():
        return Fraction(1)
    parity = net.activation.parity
    if (x == -x2).all():
        if parity == "even" and not net.has_bias(0):
            return Fraction(1)
        if parity == "odd" and _unbiased(net):
            return Fraction(-1)
    degree = net.activation.homogeneity
    if degree is None or not _unbiased(net):
        return None
    ratio, power = _ratio(x, x2), degree**net.depth
    if ratio is None or power > _LARGEST_POWER or (ratio < 0 and parity is None):
        return None
    factor = abs(ratio) ** power
    if not 2.0**-500 < factor < 2.0**500:
        return None
    return -factor if ratio < 0 and parity == "odd" else factor


def _ratio(x: np.ndarray, x2: np.ndarray) -> Fraction | None:
    """The c with x2 = c x exactly; ``None`` if there is none or it is 0."""
    if not (np.array_equal(x != 0, x2 != 0) and x.any()):
        return None
    live = np.flatnonzero(x)
    first = Fraction(float(x2[live[0]])) / Fraction(float(x[live[0]]))
    exact = all(Fraction(float(x2[i])) == first * Fraction(float(x[i])) for i in live[1:])
    return first if exact else None


def closest_pair(net: MLP, x: Float[np.ndarray, "points inputs"]) -> tuple[int, int, float] | None:
    """The two points nearest to parallel as the first layer sees them, and their |cosine|.

    Without a first-layer bias antiparallel counts as parallel; a zero input has no cosine.
    """
    gram = cosines(net, x)
    if len(x) < 2 or not gram[np.triu_indices(len(x), 1)].any():
        return None
    i, j = max(combinations(range(len(x)), 2), key=lambda pair: gram[pair])
    return i, j, float(gram[i, j])


def cosines(net: MLP, x: Float[np.ndarray, "points inputs"]) -> Float[np.ndarray, "points points"]:
    """|cosine| of every two points as the first layer sees them; 0 for a zero input."""
    scaled = x / x.shape[1] ** 0.5 * float(net.weight_std[0])
    shift = np.full((len(x), 1), float(net.at_width(1, x.shape[1]).bias_std[0]))
    extended = np.concatenate([scaled, shift], axis=1)
    size = np.sqrt((extended**2).sum(1))
    unit = extended / np.where(size, size, 1.0)[:, None]
    return np.minimum(np.abs(unit @ unit.T), 1.0)


def tied_sentence(
    net: MLP, x: Float[np.ndarray, "points inputs"], group: Group, y: np.ndarray | None
) -> str:
    """What ties a group, and how far its labels are from agreeing."""
    rows = ", ".join(map(str, group.points))
    if group.multiplicity == 0:
        what = f"the input of point {rows} is zero and this network's output there is always 0"
    elif (x[list(group.points)] == x[group.points[0]]).all():
        what = f"points {rows} have the same input (cosine 1)"
    else:
        cosines = [_cosine(x[group.points[0]], x[i]) for i in group.points[1:]]
        what = (
            f"points {rows} have parallel inputs (cosine {', '.join(f'{c:g}' for c in cosines)}) "
            f"and activation {net.activation.name!r} without the bias that would part them"
        )
    if y is None:
        return what
    loss = group.exact_loss(y)
    least = f"at least {down(from_below(loss))}" if from_below(loss) else "above 0"
    return f"{what}; their labels contradict each other, so that the loss is {least}"


def _cosine(x: np.ndarray, x2: np.ndarray) -> float:
    return float(np.round(x @ x2 / np.sqrt((x @ x) * (x2 @ x2)), 12))
