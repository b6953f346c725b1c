r"""Whether the tangent kernel of the infinitely wide network is positive on a data set.

Θ_∞ is positive definite at every depth if φ is not a polynomial and the inputs are distinct (with a
first-layer bias) or pairwise not parallel (without): Carvalho, Costa, Mourão and Oliveira, SIAM J.
Math. Data Sci. 7 (2025) 495, arXiv:2404.12928. How positive is a number, λ_min, and this module
returns it with its error and with what makes it small:

* points tied to each other (:mod:`widthwise.certify.relations`) make it 0;
* a polynomial φ of degree p makes every ∂f/∂θ a polynomial in x of degree D = p^L, so the rank of
  Θ_∞ is at most the number of monomials x^k that can occur: those of |k| ≤ D; only even |k| for an
  even φ without bias in the first layer; only odd |k| for an odd φ without biases; only |k| = D for
  φ = z^p without biases;
* points that are nearly equal, or nearly parallel without bias, make it small: the kernel of two
  points alone bounds λ_min from above (Cauchy interlacing), and the pair that bounds it best is
  named.

The error is that of the kernel, in Frobenius norm, and the eigenvalue solver's.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.certify.outward import up
from widthwise.certify.relations import Group, cosines, from_below, groups_of, tied_sentence
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP, require_network


@dataclass(frozen=True, eq=False)
class KernelPositivity:
    """The smallest eigenvalue of Θ_∞, its error, and what makes it small.

    Args:
        smallest: λ_min of the kernel of one output on the distinct points (tied points merged with
            the root of their multiplicity).
        error: bound of its error, as far as the kernel's own error estimate goes.
        positive: whether Θ_∞ on all points as given is positive beyond the error.
        groups: the groups of tied points with more than one point or output 0.
        least_loss: what no parameters bring the loss below; ``None`` if no labels were given.
        rank_bound: largest possible rank of Θ_∞, for a polynomial activation; else ``None``.
        pair: the two distinct points whose own 2×2 kernel has the smallest eigenvalue, and their
            |cosine| as the first layer sees them (0 for a zero input).
        pair_bound: that eigenvalue, an upper bound of λ_min.
        support: points that carry most of the eigenvector of λ_min.
        reason: all of it in words.
    """

    smallest: float
    error: float
    positive: bool
    groups: tuple[Group, ...]
    least_loss: float | None
    rank_bound: int | None
    pair: tuple[int, int, float] | None
    pair_bound: float | None
    support: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        head = "positive" if self.positive else "not certified positive"
        return f"Θ_∞ is {head}: λ_min = {self.smallest:.6g} ± {up(self.error, 2)}; {self.reason}"


def kernel_positivity(net: MLP, x: ArrayLike, y: ArrayLike | None = None) -> KernelPositivity:
    """The smallest eigenvalue of the infinite-width tangent kernel, and what makes it small.

    Args:
        net: the architecture.
        x: points (points, inputs).
        y: labels (points, outputs), or (points,) for one output; they decide whether tied points
            merge or contradict each other.

    Returns:
        :class:`KernelPositivity`.

    Raises:
        ValueError: for shapes that do not match, or kernels that cannot be computed.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww; from widthwise.certify import kernel_positivity
        >>> found = kernel_positivity(ww.MLP(1, "erf"), [[1.0, 0.0], [1.0, 0.0]], [1.0, -1.0])
        >>> found.positive, found.least_loss
        (False, 1.0)
    """
    checks.require_x64()
    require_network(net)
    points = checks.points(x)
    labels = None if y is None else checks.targets(y, len(points), net.outputs)
    groups = groups_of(net, points)
    tied = tuple(group for group in groups if len(group.points) > 1 or not group.multiplicity)
    live = [group for group in groups if group.multiplicity]
    rank = _rank_bound(net, points.shape[1])
    smallest, error, support, pair, bound = _smallest(net, points, live)
    if rank is not None and rank < len(live):
        smallest, error = 0.0, 0.0
    least = None
    if labels is not None:
        least = from_below(sum((group.exact_loss(labels) for group in groups), Fraction(0)))
    positive = not tied and smallest > error
    reason = _reason(
        net, points, labels, tied, rank, len(live), pair, bound, support, smallest > error
    )
    return KernelPositivity(
        smallest, error, positive, tied, least, rank, pair, bound, support, reason
    )


def _smallest(net: MLP, x: np.ndarray, live: list[Group]):
    """λ_min, its error, where its eigenvector lives, and the pair that bounds it best."""
    if not live:
        return 0.0, 0.0, (), None, None
    first = [group.points[0] for group in live]
    root = np.sqrt([group.multiplicity for group in live])
    kernels = limit_kernels(net, x[first])
    theta = root[:, None] * np.asarray(kernels.ntk) * root
    uncertain: Float[np.ndarray, "points points"] = root[:, None] * np.asarray(kernels.error) * root
    values, vectors = np.linalg.eigh((theta + theta.T) / 2)
    solver = (40 * len(first) + 100) * 2.0**-53 * float(np.trace(theta))
    error = float(np.linalg.norm(uncertain)) + solver
    weight = vectors[:, 0] ** 2
    support = tuple(first[i] for i in np.argsort(-weight) if weight[i] > 0.1)
    pair = bound = None
    if len(first) > 1:
        a, b, c = np.diag(theta)[:, None], np.diag(theta), theta
        least = (a + b - np.hypot(a - b, 2 * c)) / 2
        least[np.tril_indices(len(first))] = np.inf
        i, j = np.unravel_index(int(np.argmin(least)), least.shape)
        pair = first[i], first[j], float(cosines(net, x[first])[i, j])
        bound = max(float(least[i, j]), 0.0)
    return max(float(values[0]), 0.0), error, support, pair, bound


def _rank_bound(net: MLP, inputs: int) -> int | None:
    activation = net.activation
    if activation.name == "identity":
        degree = 1
    elif activation.name == "polynomial":
        degree = max((k for k, c in enumerate(activation.parameters) if c), default=0)
    else:
        return None
    total = degree**net.depth
    unbiased = not any(net.has_bias(l) for l in range(net.depth + 1))
    if activation.homogeneity is not None and unbiased:
        degrees = [total]
    elif activation.parity == "even" and not net.has_bias(0):
        degrees = range(0, total + 1, 2)
    elif activation.parity == "odd" and unbiased:
        degrees = range(1, total + 1, 2)
    else:
        return math.comb(inputs + total, total)
    return sum(math.comb(inputs + k - 1, k) for k in degrees)


def _reason(net, x, y, tied, rank, count, pair, bound, support, positive) -> str:
    parts = []
    for group in tied:
        if y is not None and group.exact_loss(y):
            parts.append(tied_sentence(net, x, group, y))
        else:
            agree = "" if y is None else ", their labels agree"
            parts.append(f"{tied_sentence(net, x, group, None)}{agree}: they count as one point")
    if rank is not None:
        parts.append(
            f"activation {net.activation.name!r} is a polynomial: the rank is at most {rank}, for "
            f"{count} points"
        )
    if pair is not None:
        i, j, cosine = pair
        parts.append(
            f"hardest to tell apart are points {i} and {j} (|cosine| {cosine:.9g}), which alone "
            f"keep λ_min at {up(bound, 3)} or below"
        )
    if not positive and support:
        parts.append(f"the eigenvector of λ_min lives on points {', '.join(map(str, support))}")
    return "; ".join(parts) or "no two points are tied or compared"
