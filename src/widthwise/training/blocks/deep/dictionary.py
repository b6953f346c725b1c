r"""From tensors over output channels to joint cumulants of outputs, Θ, O_3 and O_4.

Directions integrate out: with channels of one output, (u_a, u_b) is Θ(a, b), and

    O_3(x, β, γ) = (uv_x, u_β, v_γ) + (uv_β, u_x, v_γ),

    O_4(x, β, γ, δ) = a(x, β, γ, δ) + a(β, x, γ, δ) + b(x, β, γ, δ) + b(β, x, γ, δ)
                      + b(x, γ, β, δ) + b(β, γ, x, δ),

    a = (uvw_x, u_β, v_γ, w_δ),      b = (uv_x, uw_β, v_γ, w_δ),

and a joint cumulant of these with outputs is the joint cumulant of all channels; what is
disconnected vanishes by parity. Given the last hidden layer, the outputs' components are
independent, so a fourth cumulant at components i, j, k, l is

    Y_4 [i=j=k=l] + V_{(12)(34)} [i=j][k=l] + V_{(13)(24)} [i=k][j=l] + V_{(14)(23)} [i=l][j=k].
"""

import numpy as np

from widthwise.training.blocks.deep.observables import Type
from widthwise.training.blocks.deep.recursion import Recursion

Name = tuple[str, int]

_z: Type = ()
_u, _v, _w, _uv, _uw, _uvw = (1,), (2,), (3,), (1, 2), (1, 3), (1, 2, 3)
_PAIRINGS = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))


def statistics(recursion: Recursion, outputs: int) -> dict[Name, np.ndarray]:
    """The coefficients of ε^order in the joint cumulants that training through 1/n takes.

    Args:
        recursion: of the network.
        outputs: components of the output.

    Returns:
        Arrays by (letters, order), the letters F (output), D (kernel), T (O_3) and U (O_4) in the
        order of the axes; every axis is over the points × outputs, point-major. Orders and letters
        that vanish are left out.
    """
    found: dict[Name, np.ndarray | None] = {}

    def cumulant(types: tuple[Type, ...], order: int) -> np.ndarray | None:
        return _cumulant(recursion, types, order, outputs)

    for order in (1, 2) if recursion.skewed else (2,):
        found["FF", order] = cumulant((_z, _z), order)
        found["D", order] = cumulant((_u, _u), order)
        found["FFF", order] = cumulant((_z, _z, _z), order)
        found["DF", order] = cumulant((_u, _u, _z), order)
        found["T", order] = _first_two(cumulant((_uv, _u, _v), order))
    found["FFFF", 2] = cumulant((_z, _z, _z, _z), 2)
    found["DFF", 2] = cumulant((_u, _u, _z, _z), 2)
    found["DD", 2] = cumulant((_u, _u, _v, _v), 2)
    found["TF", 2] = _first_two(cumulant((_uv, _u, _v, _z), 2))
    a, b = cumulant((_uvw, _u, _v, _w), 2), cumulant((_uv, _uw, _v, _w), 2)
    if a is not None and b is not None:
        crossed = b.transpose(0, 2, 1, 3) + b.transpose(2, 0, 1, 3)
        found["U", 2] = (a + b) + (a + b).transpose(1, 0, 2, 3) + crossed
    return {name: array for name, array in found.items() if array is not None and array.any()}


def _first_two(array: np.ndarray | None) -> np.ndarray | None:
    """The array and itself with the first two axes exchanged."""
    return None if array is None else array + np.swapaxes(array, 0, 1)


def _cumulant(
    recursion: Recursion, types: tuple[Type, ...], order: int, outputs: int
) -> np.ndarray | None:
    """The joint cumulant of output channels, over points × outputs."""
    layer, slots = recursion.outputs, len(types)
    parts = [(recursion.average(layer, types, order), tuple(range(slots)))]
    result = None
    if slots == 4:
        for pairing in _PAIRINGS:
            tensor = recursion.covariance(layer, tuple(types[i] for i in pairing))
            if tensor is not None:
                parts.append((tensor.transpose(np.argsort(pairing)), pairing))
    for number, (tensor, pairing) in enumerate(parts):
        if tensor is None:
            continue
        flat = tensor if outputs == 1 else _with_components(tensor, pairing, number > 0, outputs)
        result = flat if result is None else result + flat
    return result


def _with_components(
    tensor: np.ndarray, pairing: tuple[int, ...], in_pairs: bool, outputs: int
) -> np.ndarray:
    """The tensor times deltas that make components equal: all of them, or pair by pair."""
    slots, p = tensor.ndim, len(tensor)
    component = list(range(slots))
    if in_pairs:
        component = [min(s, pairing[pairing.index(s) ^ 1]) for s in range(slots)]
    else:
        component = [0] * slots
    index = np.indices((outputs,) * slots)
    delta = np.all([index[s] == index[component[s]] for s in range(slots)], 0).astype(float)
    joint = np.multiply.outer(tensor, delta)
    axes = [axis for s in range(slots) for axis in (s, slots + s)]
    return joint.transpose(axes).reshape((p * outputs,) * slots)
