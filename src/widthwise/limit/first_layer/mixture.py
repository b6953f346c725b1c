"""One source that is not Gaussian (Gaussian weights, another bias): a mixture of Gaussians.

E f(z) = E_b E_g f(g + c b) with g Gaussian and c the coefficients of b: a rule over b, and for each
of its nodes the Gaussian engine with the kinks moved by −c b.
"""

from collections.abc import Callable

import numpy as np

from widthwise.algebra import gaussian
from widthwise.algebra.gaussian import Estimate, QuadratureError
from widthwise.limit.first_layer.projection import Projection
from widthwise.model.laws import Gaussian

_NODES = (8, 14, 24, 40)


def feasible(projection: Projection) -> bool:
    """Whether all sources are Gaussian but one."""
    others = sum(not isinstance(law, Gaussian) for law in projection.laws)
    return others == 1 and 2 <= projection.sources - 1 <= 4


def expectation(
    projection: Projection,
    observable: Callable[[np.ndarray], np.ndarray],
    kinks: tuple[float, ...],
    tolerance: float,
) -> Estimate | None:
    """E observable(z), its error from two rules over the one non-Gaussian source."""
    j = next(i for i, law in enumerate(projection.laws) if not isinstance(law, Gaussian))
    law, shift = projection.laws[j], projection.coefficients[:, j]
    C = np.delete(projection.coefficients, j, axis=1)

    def given(b: float) -> Estimate:
        moved = tuple(sorted({kink - c * b for c in shift for kink in kinks}))
        return gaussian.expectation(
            lambda z: observable(z + shift * b), C @ C.T, moved, max(tolerance / 10, 1e-12)
        )

    before, estimate = None, None
    for count in _NODES:
        nodes, weights = law.quadrature(count)
        try:
            parts = [given(b) for b in nodes]
        except QuadratureError:
            return estimate
        value, error = (
            np.tensordot(weights, np.array(part), 1) for part in zip(*parts, strict=True)
        )
        if law.discrete:
            return Estimate(value, error)
        if before is not None:
            estimate = Estimate(value, error + np.abs(value - before))
            if (estimate.error <= tolerance * np.maximum(np.abs(value), 1.0)).all():
                break
        before = value
    return estimate
