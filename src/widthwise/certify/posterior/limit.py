r"""The linear flow of Θ_0 against that of the infinite-width kernel Θ_∞, both known.

From the same initial outputs, d(t) = e^{-Θ_0 t} r_0 - e^{-Θ_∞ t} r_0 is evaluated on a geometric
grid. Between its points d' = -Θ_0 d - (Θ_0 - Θ_∞) r_∞ and variation of constants give

    |d(t)| ≤ |d(t_i)| + h (|(Θ_0 - Θ_∞) r_∞(t_i)| + |Θ_0 - Θ_∞| |r_∞(t_i) - r_∞(t_{i+1})|),

and after the last time |d| ≤ |r_lin| + |r_∞|. With sup |f_t - f_lin,t| certified, their sum bounds
the distance of training from the infinite-width flow. The error of Θ_∞ is the estimate that comes
with it, not a proof.
"""

import numpy as np
from jaxtyping import Float

from widthwise.certify.evaluation import SAFE, Evaluation
from widthwise.certify.posterior.spectrum import LinearReference, Spectrum
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP

_RATIO = 1.01
_FIRST = 1e-3  # in units of 1/λ_max
_LAST = 20.0  # in units of 1/λ_min


def limit_distance(net: MLP, at: Evaluation, spectrum: Spectrum) -> float | None:
    """Bound of sup_t |d(t)|; ``None`` where Θ_∞ is not available or not positive."""
    p = at.problem
    try:
        kernels = limit_kernels(net, p.x)
    except ValueError:
        return None
    root = np.repeat(p.root, p.y.shape[1])
    lifted = (np.kron(np.asarray(k), np.eye(p.y.shape[1])) for k in (kernels.ntk, kernels.error))
    theta, error = (root[:, None] * kernel * root for kernel in lifted)
    solver = (40 * p.rows + 100) * 2.0**-53 * float(np.trace(theta))
    doubt = float(np.linalg.norm(error)) + solver
    values, vectors = np.linalg.eigh((theta + theta.T) / 2)
    if not values[0] > 1e3 * doubt:
        return None
    return _largest_gap(spectrum, at.kernel - theta, (values, vectors), doubt)


def _largest_gap(
    s: Spectrum,
    gap: Float[np.ndarray, "rows rows"],
    limit: tuple[np.ndarray, np.ndarray],
    doubt: float,
) -> float:
    values, vectors = limit
    first = _FIRST / max(s.values[-1], values[-1])
    last = _LAST / min(s.smallest, values[0] - doubt)
    count = int(np.log(last / first) / np.log(_RATIO)) + 2
    times = np.concatenate([[0.0], np.geomspace(first, last, count)])

    def flow(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        return (np.exp(-times[:, None] * values) * (vectors.T @ s.residual)) @ vectors.T

    near, far = flow(s.values, s.vectors), flow(values, vectors)
    distance = np.linalg.norm(near - far, axis=1)
    turn = np.linalg.norm(np.diff(far, axis=0), axis=1)
    size = float(np.linalg.norm(gap, 2)) + s.margin + doubt
    force = np.linalg.norm(far[:-1] @ gap, axis=1) + size * turn
    force += (s.margin + doubt) * np.linalg.norm(far[:-1], axis=1)
    inside = float((distance[:-1] + np.diff(times) * force).max())
    tail = float(np.linalg.norm(near[-1]) + np.linalg.norm(far[-1]))
    slack = LinearReference(s).residual_slack + s.residual_error
    slack += doubt * s.size / (np.e * (values[0] - doubt))
    return (max(inside, tail) + 2 * slack) * SAFE
