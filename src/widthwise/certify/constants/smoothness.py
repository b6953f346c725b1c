"""Sup-norms M0, M1, M2, M3 of an activation and its first three derivatives.

Those of φ, φ' and φ'' are declared by :class:`~widthwise.activations.Activation`; the third is
known for the catalogue, where it is elementary calculus:

    tanh 2 (at 0);  erf 4/√π (at 0);  sin, cos 1;  softplus 1/(6√3);  sigmoid 1/8 (at 0);
    GELU 0.778781 (at z² = (7 - √33)/2);  SiLU 0.308182 (at |z| = 1.032).

Every number is rounded up. Where M3 is not known it is infinite: the theorems that use it fall back
on M2. Where M1 or M2 is infinite or unknown, the Jacobian has no Lipschitz constant known here.
"""

import math
from typing import NamedTuple

from widthwise.model.activations import Activation, catalogued

_UP = 1 + 1e-7
_THIRD = {
    "identity": 0.0,
    "tanh": 2.0,
    "erf": 4 / math.sqrt(math.pi),
    "sin": 1.0,
    "cos": 1.0,
    "softplus": 1 / (6 * math.sqrt(3)),
    "sigmoid": 0.125,
    "gelu": 0.778785,
    "silu": 0.3082,
}


class Smoothness(NamedTuple):
    """Upper bounds of |φ|, |φ'|, |φ''| and |φ'''|; infinite where unbounded or unknown."""

    value: float
    slope: float
    curvature: float
    third: float


def smoothness(activation: Activation) -> Smoothness:
    """The sup-norms of an activation.

    Raises:
        ValueError: where φ' has no Lipschitz constant or none is declared, with what to do.
    """
    name = activation.name
    if not activation.smooth:
        raise ValueError(
            f"not available: activation {name!r} has a kink, so the Jacobian is not Lipschitz; "
            "take a smooth one such as 'softplus' or 'gelu'"
        )
    if activation.sup_norms is None:
        raise ValueError(
            f"not available: activation {name!r} does not declare bounds of its derivatives; pass "
            "Activation(..., sup_norms=(sup|φ|, sup|φ'|, sup|φ''|))"
        )
    value, slope, curvature = activation.sup_norms
    if not (math.isfinite(slope) and math.isfinite(curvature)):
        raise ValueError(
            f"not available: the derivatives of activation {name!r} are unbounded, so the Jacobian "
            "is not Lipschitz with a constant known here; take 'tanh', 'erf' or 'softplus'"
        )
    third = _THIRD.get(name, math.inf) if catalogued(activation) else math.inf
    return Smoothness(*(bound * _UP for bound in (value, slope, curvature, third)))
