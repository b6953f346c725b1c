r"""Absolute moments of a law of weights, E|a|^k.

Even ones are the law's own. Odd ones, with Γ the gamma function:

    Gaussian 2^{k/2} Γ((k + 1)/2)/√π,
    Student t(ν), k < ν: (ν − 2)^{k/2} Γ((k + 1)/2) Γ((ν − k)/2)/(√π Γ(ν/2)).

Other laws by Gauss–Legendre panels that double outwards. Panels end, tails do not: if the last of
them carries c and the one before it c/q, the ones beyond carry c q/(1 − q) of a power law; of a
lighter tail q goes on falling, at least by the factor it fell by before. Twice that is added. Where
it is above 1e-6 of the integral there is no number.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.polynomial import legendre
from scipy.special import gammaln

from widthwise.limit.first_layer.rules import panel_edges
from widthwise.model.laws import Gaussian, Law, StudentT

_NODES = 40
_SEEN = 1e-6
_RATIO = 0.9
_MARGIN = 2.0


def absolute_moment(law: Law, order: int) -> float:
    """E|a|^k; infinite where it does not exist, or its integral lies too far out.

    Args:
        law: of the weights, standardized.
        order: k.
    """
    if order > law.highest_moment:
        return math.inf
    if order % 2 == 0:
        try:
            return law.moment(order)
        except (ValueError, OverflowError):
            return math.inf
    middle = gammaln((order + 1) / 2) - math.log(math.pi) / 2
    match law:
        case Gaussian():
            return math.exp(order / 2 * math.log(2) + middle)
        case StudentT(df=df):
            nu = float(df)
            tail = gammaln((nu - order) / 2) - gammaln(nu / 2)
            return math.exp(order / 2 * math.log(nu - 2) + middle + tail)
    return float(law_expectation(law, lambda a: np.abs(a) ** order))


def law_expectation(law: Law, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """E function(a), smooth but for a kink at 0 and not negative, tails rounded up.

    Args:
        law: of the weights.
        function: (nodes,) → (nodes, ...).

    Returns:
        The numbers; infinite where the tails carry too much to be summed.
    """
    if law.discrete:
        nodes, weights = law.quadrature(1)
        return np.asarray(np.tensordot(weights, function(nodes), 1))
    edges = panel_edges(law)
    inside = [[0.0]] if edges[0] < 0 < edges[-1] else []
    edges = np.unique(np.concatenate([edges, *inside]))
    x, w = legendre.leggauss(_NODES)
    panels = []
    for a, b in pairwise(edges):
        z = (a + b) / 2 + (b - a) / 2 * x
        panels.append(np.tensordot((b - a) / 2 * w * law.density(z), function(z), 1))
    panels = np.array(panels)
    return np.asarray(panels.sum(0) + beyond(law, panels))


def beyond(law: Law, panels: np.ndarray) -> np.ndarray:
    """What the tails beyond panels that double outwards add at most; infinite if not small.

    Args:
        law: whose support says which ends are tails.
        panels: what every panel carries (panels, ...), not negative, from left to right.
    """
    total, added = panels.sum(0), np.zeros(panels.shape[1:])
    for end, order in zip(law.support, (panels, panels[::-1]), strict=True):
        if not math.isinf(end):
            continue
        last, before, third = np.maximum(order[:3], 1e-300)
        q = last / before
        q = q * np.minimum(q * third / before, 1.0)  # of a lighter tail it falls
        more = _MARGIN * last * q / np.maximum(1 - q, 1 - _RATIO)
        added = added + np.where((q <= _RATIO) & (more <= _SEEN * total), more, math.inf)
    return np.asarray(added)
