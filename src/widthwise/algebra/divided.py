"""Divided differences of λ ↦ e^{−tλ}.

    e_t[λ_0, …, λ_k] = Σ_i e^{−tλ_i} / ∏_{j≠i} (λ_i − λ_j),     e_t[λ, λ] = −t e^{−tλ}, …

They are the time factors of every term of the perturbation series of a linear flow. By Opitz'
theorem they stand in the corner of the exponential of a bidiagonal matrix. Written as

    e_t[λ_0..λ_k] = (−1)^k ( e^{−tλ_max} exp(t(λ_max − Λ) + tN) )_{0k},   N the upper shift,

that matrix is nonnegative, so nothing cancels: coincident, nearly coincident, zero and widely
spread nodes need no special case (McCurdy, Ng and Parlett, *Math. Comp.* 43 (1984)).
"""

import numpy as np
from jaxtyping import Float

_TAYLOR_TERMS = 19


def divided_differences(
    t: float, nodes: Float[np.ndarray, "*batch k_plus_1"]
) -> Float[np.ndarray, "*batch"]:
    """e_t[nodes[..., 0], …, nodes[..., k]] for nonnegative nodes and finite t ≥ 0.

    Example:
        >>> import numpy as np
        >>> from widthwise.algebra.divided import divided_differences
        >>> float(divided_differences(2.0, np.array([0.0, 0.0])))
        -2.0
    """
    nodes = np.asarray(nodes, dtype=float)
    size = nodes.shape[-1]
    largest = nodes.max(-1, keepdims=True)
    spread = t * float((largest - nodes).max()) + t
    squarings = int(np.ceil(np.log2(spread))) + 1 if spread > 0.5 else 0
    scaled = t / 2**squarings
    matrix = np.zeros((*nodes.shape, size))
    i = np.arange(size)
    matrix[..., i, i] = scaled * (largest - nodes)
    matrix[..., i[:-1], i[1:]] = scaled
    term = np.broadcast_to(np.eye(size), matrix.shape)
    exponential = term.copy()
    for j in range(1, _TAYLOR_TERMS + 1):
        term = term @ matrix / j
        exponential = exponential + term
    exponential = exponential * np.exp(-scaled * largest)[..., None]
    for _ in range(squarings):
        exponential = exponential @ exponential
    return np.asarray((-1.0) ** (size - 1) * exponential[..., 0, size - 1])
