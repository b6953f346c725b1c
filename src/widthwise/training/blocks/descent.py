r"""The blocks that gradient descent needs besides those of the flow, for one hidden layer.

    S̄ (order 1),     E[S h],   W̄,   R̄,   Q̄ (order 2)

of one neuron, the derivatives of output and kernel along steps that are held fixed
(:mod:`widthwise.training.terms`). They are moments of φ and its derivatives
(:mod:`widthwise.training.blocks.moments`) times moments of the readout weights; the monomials they
consist of are derived by a product rule (:mod:`widthwise.training.blocks.monomials`).
"""

import numpy as np
from jaxtyping import Float

from widthwise.training.blocks.moments import Moments
from widthwise.training.blocks.monomials import TENSORS, Monomial, Sum, times_output
from widthwise.training.blocks.neuron import Neuron
from widthwise.training.blocks.value import Name

_COMPONENTS = dict(zip("abxy", "cdeg", strict=True))


def descent_blocks(neuron: Neuron, moment: Moments) -> dict[Name, np.ndarray]:
    """The further blocks of one neuron, with the powers of the width ratio."""
    made = {("SF", 2): mean(neuron, moment, times_output(TENSORS["S"], "y"), "y")}
    for name in "WRQ":
        made[name, 2] = mean(neuron, moment, TENSORS[name])
    if neuron.skewed:
        made["S", 1] = mean(neuron, moment, TENSORS["S"])
    return {key: value / neuron.ratio ** (key[1] / 2) for key, value in made.items()}


def mean(
    neuron: Neuron, moment: Moments, terms: Sum, everywhere: str = ""
) -> Float[np.ndarray, "..."]:
    """The expectation of a sum of monomials, one axis of rows per letter.

    Args:
        neuron: the neuron.
        moment: its moments.
        terms: monomials in the letters a, b, x, and perhaps y.
        everywhere: letters that run over all rows besides a; the others run over train rows.
    """
    letters = "".join(sorted(dict(next(iter(terms)).orders)))
    wide = {"a", *everywhere}
    parts = ((count, *_parts(neuron, moment, term, letters, wide)) for term, count in terms.items())
    merged: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}
    for count, spatial, key, components in parts:
        if key in merged:
            merged[key] = merged[key][0] + count * spatial, components
        else:
            merged[key] = count * spatial, components
    return neuron.rows(*merged.values())


def _parts(neuron: Neuron, moment: Moments, term: Monomial, letters: str, wide: set[str]):
    """Of one monomial: its mean over points, what its components depend on, and their tensor."""
    stored = sorted(letters, key=lambda p: (dict(term.orders)[p], p))
    name = "".join(str(dict(term.orders)[p]) for p in stored)
    if name == "011":  # stored as 110
        stored, name = [*stored[1:], stored[0]], "110"
    cut = {p: slice(None) if p in wide else slice(neuron.train) for p in letters}
    table = moment[name][tuple(cut[p] for p in stored)]
    covariances = [neuron.k[cut[p], cut[q]] for p, q in term.covariances]
    subscripts = ",".join(["".join(stored), *(p + q for p, q in term.covariances)])
    spatial = np.einsum(f"{subscripts}->{letters}", table, *covariances, optimize=True)
    spatial = neuron.std ** (2 * term.scale) * spatial
    return spatial, (term.readouts, term.same), _components(neuron, term, letters)


def _components(neuron: Neuron, term: Monomial, letters: str) -> np.ndarray:
    """∏ δ · E ∏ A over the components of the letters."""
    names = ["".join(_COMPONENTS[p] for p in pair) for pair in term.same]
    factors = [np.eye(neuron.outputs)] * len(names)
    if term.readouts:
        names.append("".join(_COMPONENTS[c] for c in term.readouts))
        factors.append(neuron.readouts(len(term.readouts)))
    target = "".join(_COMPONENTS[p] for p in letters)
    return np.einsum(f"{','.join(names)}->{target}", *factors)
