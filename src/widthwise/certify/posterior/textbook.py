r"""The textbook certificate, for comparison: σ_min(J) ≥ α/2 on the ball of radius 2|r_0|/α.

If 4 L |r_0| ≤ α², L a Lipschitz constant of J on that ball, gradient flow stays in it and
|r_t| ≤ |r_0| e^{-α² t/4}. L is the usual one, from Frobenius norms of the extended inputs X̃ and the
largest input: one hidden layer, R = 2|r_0|/α,

    L = c_1 (2 M1 |X̃|_F + (max_k |A_{·k}| + R) M2 max_i |x̃_i| |X̃|_F);

deeper networks have the constant of :mod:`widthwise.certify.constants.deep`. The path length needs
half of this, and sharper constants: see :mod:`widthwise.certify.posterior.path`.
"""

import numpy as np

from widthwise.certify.certificate import Certificate, Hypothesis, refusal
from widthwise.certify.constants.ball import Bounds
from widthwise.certify.constants.shallow import ShallowBounds, extended_inputs
from widthwise.certify.evaluation import SAFE, Evaluation
from widthwise.certify.posterior.spectrum import Spectrum


def certify_textbook(at: Evaluation, bounds: Bounds, spectrum: Spectrum) -> Certificate:
    """The textbook certificate from these parameters."""
    alpha, size = spectrum.alpha, spectrum.size
    radius = 2 * size / alpha * SAFE
    shallow = isinstance(bounds, ShallowBounds)
    lipschitz = _crude(at, radius) if shallow else bounds.jacobian(radius)
    ratio = float(lipschitz * size / alpha**2) * SAFE
    condition = Hypothesis("L |r_0|/α² at most 1/4", ratio, "<=", 0.25)
    if not condition.holds:
        reason = f"L |r_0|/α² is {ratio:.5g}; method='auto' needs much less width"
        return refusal("textbook", "flow", reason, spectrum.positive, condition)
    change = lipschitz * radius
    kernel = (2 * spectrum.beta * change + change**2) * SAFE
    rate = (alpha / 2) ** 2
    return Certificate(
        True,
        "textbook",
        "flow",
        "gradient flow stays in a ball of well-conditioned Jacobians and converges to zero loss",
        (spectrum.positive, condition),
        rate=float(rate),
        movement=float(radius),
        ntk_change=float(kernel),
        output_deviation=float(min(kernel * size / (np.e * rate), 2 * size)) * SAFE,
    )


def _crude(at: Evaluation, radius: float) -> float:
    p = at.problem
    inputs = p.root[:, None] * extended_inputs(p)
    total = float(np.linalg.norm(inputs))
    largest = float(np.sqrt((extended_inputs(p) ** 2).sum(1).max()))
    column = float(np.sqrt((at.blocks[-1].weight ** 2).sum(0).max()))
    curved = (column + radius) * p.bounds.curvature * largest
    return p.scales[-1] * (2 * p.bounds.slope + curved) * total * SAFE
