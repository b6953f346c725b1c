r"""Whether the tangent kernel of the infinitely wide network is positive on a data set.

Θ_∞ is positive definite at every depth if φ is not a polynomial and the inputs are distinct (with a
first-layer bias) or pairwise not parallel (without): Carvalho, Costa, Mourão and Oliveira, SIAM J.
Math. Data Sci. 7 (2025) 495, arXiv:2404.12928. How positive is a number, λ_min, and this module
returns it with its error and with what makes it small:

* points tied to each other (:mod:`widthwise.certify.relations`) make it 0;
* a polynomial φ of degree p makes Θ_∞ a polynomial in x of degree D = p^L, so its rank is at most
  the number of monomials: C(d + D, D), or C(d + D - 1, D) for φ = z^p without biases;
* points that are nearly equal, or nearly parallel without bias, make it small.

The error is that of the kernel, in Frobenius norm, and the eigenvalue solver's.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.certify.relations import Group, closest_pair, groups_of, tied_sentence
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
        pair: the pair of distinct points nearest to parallel, and its |cosine|.
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
    support: tuple[int, ...]
    reason: str

    def __str__(self) -> str:
        head = "positive" if self.positive else "not certified positive"
        return f"Θ_∞ is {head}: λ_min = {self.smallest:.6g} ± {self.error:.1e}; {self.reason}"


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
    smallest, error, support = _smallest(net, points, live)
    if rank is not None and rank < len(live):
        smallest, error = 0.0, 0.0
    least = None if labels is None else sum(group.least_loss(labels) for group in groups)
    distinct = [group.points[0] for group in live]
    near = closest_pair(net, points[distinct]) if live else None
    pair = None if near is None else (distinct[near[0]], distinct[near[1]], near[2])
    positive = not tied and smallest > error
    reason = _reason(net, points, labels, tied, rank, len(live), pair, support, smallest > error)
    return KernelPositivity(smallest, error, positive, tied, least, rank, pair, support, reason)


def _smallest(net: MLP, x: np.ndarray, live: list[Group]) -> tuple[float, float, tuple[int, ...]]:
    if not live:
        return 0.0, 0.0, ()
    first = [group.points[int(np.argmax(group.factors == 1))] for group in live]
    root = np.sqrt([group.multiplicity for group in live])
    kernels = limit_kernels(net, x[first])
    theta = root[:, None] * np.asarray(kernels.ntk) * root
    uncertain: Float[np.ndarray, "points points"] = root[:, None] * np.asarray(kernels.error) * root
    values, vectors = np.linalg.eigh((theta + theta.T) / 2)
    solver = (40 * len(first) + 100) * 2.0**-53 * float(np.trace(theta))
    error = float(np.linalg.norm(uncertain)) + solver
    weight = vectors[:, 0] ** 2
    support = tuple(first[i] for i in np.argsort(-weight) if weight[i] > 0.1)
    return max(float(values[0]), 0.0), error, support


def _rank_bound(net: MLP, inputs: int) -> int | None:
    activation = net.activation
    if activation.name == "identity":
        degree = 1
    elif activation.name == "polynomial":
        degree = max((k for k, c in enumerate(activation.parameters) if c), default=0)
    else:
        return None
    total = degree**net.depth
    monomial = activation.homogeneity is not None
    unbiased = not any(net.has_bias(l) for l in range(net.depth + 1))
    if monomial and unbiased:
        return math.comb(inputs + total - 1, total)
    return math.comb(inputs + total, total)


def _reason(net, x, y, tied, rank, count, pair, support, positive) -> str:
    parts = []
    for group in tied:
        if y is not None and group.least_loss(y):
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
        parts.append(f"nearest to parallel are points {i} and {j} (|cosine| {cosine:.9g})")
    if not positive and support:
        parts.append(f"the eigenvector of λ_min lives on points {', '.join(map(str, support))}")
    return "; ".join(parts) or "no two points are tied or compared"
