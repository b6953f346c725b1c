"""The exact law of the first layer's preactivations, whatever the law of its weights.

The input dimension d is fixed while the widths grow, so nothing makes the first layer Gaussian:

    z(a) = σ_b b + σ_w/√d Σ_j W_j x_{a,j},      W_j and b independent, b the same for all inputs,

is a projection z = A s of the d + 1 numbers s = (W, b) of one neuron (:mod:`.projection`). With
Gaussian weights and bias its expectations are Gaussian; otherwise they are computed from the exact
law, by the first of these routes that reaches the tolerance:

1. **sums and quadrature over the sources** s (:mod:`.rules`), if few: all atoms of discrete laws,
   Gauss rules if φ is smooth, panels that end at the kinks if it is not;
2. **Fourier series and the characteristic function** (:mod:`.fourier`), any d, one or two inputs;
3. **randomized Sobol points** (:mod:`.sobol`), whose error is a standard error.

Every number has the error estimate of its route; where no route reaches the tolerance, the number
of least error is kept. By default the tolerance is 1e-10, and a larger error is reported as it is.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Int

from widthwise.algebra import gaussian
from widthwise.algebra.bivariate import PairMoments
from widthwise.algebra.gaussian import Estimate, Observable, QuadratureError
from widthwise.limit import layer
from widthwise.limit.first_layer import fourier, mixture, pairwise, rules, sobol
from widthwise.limit.first_layer.projection import Projection, parallel, project
from widthwise.model.architecture import MLP

__all__ = ["expectation", "pair_moments"]


def pair_moments(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    pairs: Int[np.ndarray, "pairs 2"],
    tolerance: float | None = None,
) -> PairMoments:
    """E[φ(z_a)φ(z_b)] and E[φ'(z_a)φ'(z_b)] of the first layer for many pairs of points.

    Args:
        net: the network, whose first layer this is.
        x: data (points, inputs).
        pairs: rows (a, b) of indices into x; a = b is allowed.
        tolerance: error allowed, relative to √(E φ(z_a)² E φ(z_b)²) or to 1 if that is smaller; by
            default 1e-10, or the standard error of Sobol points where nothing better is feasible.

    Returns:
        Values and estimated absolute errors, pair by pair.

    Raises:
        QuadratureError: when a tolerance was given and is not reached.
    """
    x, pairs = np.asarray(x, dtype=float), np.asarray(pairs)
    projection = project(net, x)
    if not projection.gaussian:
        return pairwise.pair_moments(projection, net.activation, pairs, tolerance)
    a, b = pairs.T
    A = projection.coefficients
    variance = np.einsum("as,as->a", A, A)
    covariance = np.einsum("ps,ps->p", A[a], A[b])
    triples = np.stack([variance[a], covariance, variance[b]], 1)
    return layer.pair_moments(net.activation, triples, tolerance or gaussian.TOLERANCE)


def expectation(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    observable: Observable,
    tolerance: float | None = None,
) -> Estimate:
    """E[observable(z)] over the first layer's preactivations z at a few points.

    Args:
        net: the network, whose first layer this is.
        x: the p points (p, inputs).
        observable: maps preactivations (nodes, p) to values (nodes,) or (nodes, k); smooth but for
            the kinks of the network's activation, in any component.
        tolerance: error allowed, relative to the value, or to 1 if that is smaller; by default
            1e-10, or the standard error of Sobol points where nothing better is feasible.

    Returns:
        The value and its estimated absolute error.

    Raises:
        QuadratureError: when a tolerance was given and is not reached.
    """
    projection, kinks = project(net, np.asarray(x, dtype=float)), net.activation.kinks
    if projection.gaussian:
        return gaussian.expectation(observable, projection.covariance, kinks, tolerance)
    base, ratio = parallel(projection.coefficients)
    leaders, place = np.unique(base, return_inverse=True)
    scaled = {kink / r for r in ratio for kink in kinks if abs(r) > 1e-12}

    def of_leaders(y: np.ndarray) -> np.ndarray:
        return np.asarray(observable(y[:, place] * ratio))

    reduced, edges = projection.rows(leaders), tuple(sorted(scaled))
    allowed, best = tolerance or rules.TOLERANCE, None
    for estimate in _routes(reduced, of_leaders, edges, allowed):
        if best is None or estimate.error.max() < best.error.max():
            best = estimate
        if _met(best, allowed):
            return best
    if best is None or not _met(best, sobol.BEST):
        random = sobol.mean(reduced, of_leaders)
        best = random if best is None or random.error.max() < best.error.max() else best
        if _met(best, allowed):
            return best
    if tolerance is not None:
        raise QuadratureError(
            f"an expectation over the first layer ({len(x)} points, {projection.sources} weights "
            f"and biases) reached an error of {best.error.max():.1e}, not the {tolerance:.0e} "
            "asked for; pass a larger tolerance, or None to accept it"
        )
    return best


def _met(estimate: Estimate, tolerance: float) -> bool:
    return bool((estimate.error <= tolerance * np.maximum(np.abs(estimate.value), 1.0)).all())


def _routes(
    projection: Projection, observable: Callable, kinks: tuple[float, ...], tolerance: float
) -> Iterator[Estimate]:
    """Deterministic estimates of E observable(z), the most accurate route first."""
    few = projection.atoms <= rules.MOST_ATOMS
    integral = rules.integral_of(projection, observable)
    estimates = (
        lambda: mixture.expectation(projection, observable, kinks, tolerance),
        lambda: rules.refined(projection, integral, kinks, tolerance),
        lambda: fourier.expectation(projection, observable, kinks, tolerance),
    )
    feasible = (
        mixture.feasible(projection),
        few and projection.continuous <= (3 if kinks else 7),
        len(projection.coefficients) <= 2 and not (kinks and not projection.continuous),
    )
    for estimate, possible in zip(estimates, feasible, strict=True):
        if possible and (found := estimate()) is not None:
            yield found
