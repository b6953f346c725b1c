r"""How training answers a deviation of the outputs from their linearization.

Parameters δ off the linearization and a nonlinear deviation g(t) of the outputs make c = J δ + g,
and the residuals drive δ̇ = −J_Xᵀ c_X. Hence on train modes, and on test rows through them,

    ċ = ġ − Λ c,        c_* = g_* − Θ_{*X} Q ∫ c dt,

so that what train points deviate by is unlearnt again at the rate of their eigenvalue. With g
piecewise linear between given moments the solution is exact, for gradient descent too: over an
interval of length h in which g grows by Δ,

    c ← e_h[λ] c − Δ/h e_h[0, λ],       ∫ c ← ∫ c − e_h[0, λ] c + Δ/h e_h[0, 0, λ].
"""

import numpy as np
from jaxtyping import Float

from widthwise.training.dynamics import Dynamics, GradientDescent, replace_moments
from widthwise.training.solution_map import SolutionMap


def moments_between(solution: SolutionMap, dynamics: Dynamics, count: int) -> np.ndarray:
    """The finite moments of a dynamics and others before the last of them, increasing.

    Args:
        solution: whose largest eigenvalue sets the earliest of the others.
        dynamics: the moments that are asked for.
        count: how many others, at most.
    """
    asked = np.atleast_1d(dynamics.moments)
    asked = asked[np.isfinite(asked) & (asked > 0)]
    if not asked.size or not solution.eigenvalues.size:
        return np.unique(asked)
    clock = dynamics.step if isinstance(dynamics, GradientDescent) else 1.0
    earliest = min(0.3 / (solution.eigenvalues[-1] * clock), asked.max())
    others = np.geomspace(earliest, asked.max(), count)
    if isinstance(dynamics, GradientDescent):
        others = np.maximum(np.round(others), 1.0)
    return np.unique(np.concatenate([asked, others]))


def answered(
    solution: SolutionMap,
    dynamics: Dynamics,
    moments: Float[np.ndarray, " some"],
    deviation: Float[np.ndarray, "some rows"],
) -> Float[np.ndarray, "some rows"]:
    """The deviation c at the moments, where g is that of the outputs; both 0 at the start.

    Args:
        solution: the solution map about the network's own kernel.
        dynamics: its clock; the moments in it are not used.
        moments: increasing and positive; the last may be infinite.
        deviation: g at the moments.
    """
    values, Q, m = solution.eigenvalues, solution.eigenvectors, solution.train
    found = deviation.copy()
    before, g0 = 0.0, np.zeros(len(values))
    c, integral = np.zeros(len(values)), np.zeros(len(values))
    still = np.eye(m) - Q @ Q.T if len(values) < m else None
    for i, moment in enumerate(moments):
        g = deviation[i, :m] @ Q
        if np.isinf(moment):
            c, integral = 0 * c, integral + (c + g - g0) / values
        else:
            clock = replace_moments(dynamics, moment - before)
            length = moment - before
            length *= dynamics.step if isinstance(dynamics, GradientDescent) else 1.0
            decay = clock.divided_differences(values[:, None])
            pull = clock.divided_differences(np.stack([0 * values, values], -1))
            twice = clock.divided_differences(np.stack([0 * values, 0 * values, values], -1))
            rate = (g - g0) / length
            c, integral = decay * c - rate * pull, integral - pull * c + rate * twice
        before, g0 = moment, g
        found[i, :m] = c @ Q.T
        if still is not None:
            outside = deviation[i, :m] @ still
            rounding = 1e-12 * np.abs(deviation[i]).max()
            found[i, :m] += np.where(np.abs(outside) > rounding, outside, 0.0)
        found[i, m:] -= solution.through @ integral
    return found
