"""Exact laws of outputs at one width: not expanded in n, computed.

For what they exist: one hidden layer (:mod:`.shallow`), whatever its laws, activation, points and
directions; and deep linear and relu networks without biases at one input (:mod:`.homogeneous`).
"""

from collections.abc import Sequence

import numpy as np

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.algebra.gaussian import QuadratureError
from widthwise.initial.exact.homogeneous import homogeneous_law
from widthwise.initial.exact.law import ExactLaw
from widthwise.initial.exact.shallow import shallow_law
from widthwise.model.architecture import MLP

__all__ = ["ExactLaw", "exact_law"]


def exact_law(
    net: MLP,
    x: ArrayLike,
    width: int,
    points: Sequence[int] = (0,),
    direction: ArrayLike | None = None,
    component: int = 0,
    tolerance: float | None = None,
) -> ExactLaw:
    """The law of direction · outputs(points) at one width, exact up to quadrature.

    One hidden layer: Z = σ_w n^{−1/2} Σ_j W_j · Vᵀφ(z_j) + B is a sum of n independent terms, with
    characteristic function ψ(tσ_w/√n)ⁿ χ_B(t). Deep linear and relu networks without biases and
    with Gaussian weights, one input: a product of independent χ variables.

    Args:
        net: one hidden layer with any laws and activation; or any depth, activation "identity",
            "abs" or "relu", Gaussian weights and no biases.
        x: data (points, inputs).
        width: n, at least 1; hidden layers have ratio_l · n neurons. No cost grows with n.
        points: rows of the data.
        direction: one number per point; or (points, outputs), to project several components too.
            May be left out for a single point.
        component: which output, where the direction does not say.
        tolerance: the error allowed in ``cdf``, met or refused; ``None`` accepts what it is.

    Returns:
        :class:`ExactLaw`, with ``pdf``, ``cdf``, ``ppf``, ``tail``, ``characteristic``,
        ``cumulant``, ``moment``, ``atoms``, and the errors ``pdf_error``, ``cdf_error``.

    Raises:
        ValueError: for a network whose law is not known exactly, arguments out of range, or a
            direction in which the outputs do not vary.
        QuadratureError: when a tolerance was given and is not reached.

    Source:
        Gil-Pelaez (1951) for the inversion; Zavatone-Veth and Pehlevan (2021), "Exact marginal
        prior distributions of finite Bayesian neural networks", for the deep laws.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> law = ww.exact_law(ww.MLP(depth=1, activation="identity"), [[1.0]], width=10)
        >>> float(law.pdf(1.0).round(9))
        0.227149829
    """
    checks.require_x64()
    n = checks.width(width)
    data = checks.points(x)
    rows, V = _direction(net, len(data), points, direction, component)
    if net.depth == 1:
        law: ExactLaw = shallow_law(net, data[rows], V, n)
    else:
        law = homogeneous_law(net, data[rows], V, n)
    if tolerance is not None:
        allowed, error = checks.positive(tolerance, "tolerance"), law.error
        if error > allowed:
            raise QuadratureError(
                f"the distribution function is known to {error:.1e}, not the {allowed:.0e} asked "
                "for; pass a larger tolerance, or None to accept it"
            )
    return law


def _direction(
    net: MLP, count: int, points: Sequence[int], direction: ArrayLike | None, component: int
) -> tuple[list[int], np.ndarray]:
    """Rows of the data, and V (rows, outputs)."""
    rows = list(checks.indices(points, "points"))
    outside = [row for row in rows if not -count <= row < count]
    if outside or not rows:
        raise ValueError(f"points must be rows of the data, which has {count}, got {tuple(rows)!r}")
    (output,) = checks.indices((component,), "component")
    if not 0 <= output < net.outputs:
        raise ValueError(
            f"component must be one of the {net.outputs} outputs, 0 to {net.outputs - 1}, "
            f"got {component!r}"
        )
    if direction is None and len(rows) > 1:
        raise ValueError(
            f"direction must give one number per point ({len(rows)} points); "
            "for one output alone pass a single point"
        )
    v = np.ones(1) if direction is None else np.asarray(direction, dtype=float)
    if v.shape not in ((len(rows),), (len(rows), net.outputs)) or not np.isfinite(v).all():
        raise ValueError(
            f"direction must hold one finite number per point ({len(rows)}), or have shape "
            f"({len(rows)}, {net.outputs}), points by outputs; got {direction!r}"
        )
    if v.ndim == 1:
        v = v[:, None] * (np.arange(net.outputs) == output)
    if not v.any():
        raise ValueError("direction is 0: the law would be a point; give one that is not")
    return rows, v
