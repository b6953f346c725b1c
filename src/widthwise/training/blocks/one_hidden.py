r"""The blocks of one hidden layer: cumulants of one neuron.

A network of N = ρn independent neurons has F = N^{−1/2} Σ h (+ output bias), Θ_n = N^{−1} Σ κ,
O₃ = N^{−3/2} Σ T, O₄ = N^{−2} Σ U, so a joint cumulant of F, Θ_n, O₃, O₄ is N^{1−Σs} times one of
h, κ, T, U of one neuron (s = 1/2, 1, 3/2, 2), exactly (:mod:`widthwise.training.blocks.neuron`).

K and Θ are those of :func:`widthwise.limit_kernels`, far more accurate than the moments, as what
multiplies n must be. A constant output bias adds σ_b² to K and Θ and nothing else; one that scales
with the fan-in adds it to their corrections of order 1/n.

Not available, and refused with the reason (:mod:`widthwise.training.blocks.conditions`): kinked
activations, whose O₃ and O₄ do not describe how they train; non-Gaussian output biases, whose limit
is not Gaussian; the standard parametrization, where only the readout trains in the limit, and whose
blocks the recursion of :mod:`widthwise.training.blocks.deep` has.
"""

import jax
import numpy as np
from jaxtyping import Float

from widthwise.limit.first_layer.projection import Projection, project
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP
from widthwise.training.blocks.conditions import (
    require_conditions,
    require_smooth,
    require_standard_error,
)
from widthwise.training.blocks.descent import descent_blocks
from widthwise.training.blocks.moments import Moments, moments
from widthwise.training.blocks.neuron import Neuron
from widthwise.training.blocks.value import Blocks, Name

_MOST_POINTS, _MOST_ROWS = 44, 64  # tensors over four rows of some gigabytes together
_REPLICATES = 8


def one_hidden_blocks(
    net: MLP,
    x: Float[np.ndarray, "points inputs"],
    train: int,
    *,
    key: jax.Array | None = None,
    samples: int | None = None,
    descent: bool = False,
) -> Blocks:
    """The blocks of a network with one hidden layer.

    Args:
        net: depth 1, NTK parametrization, smooth activation.
        x: all points (points, inputs), train points first.
        train: how many of them are train points.
        key: JAX random key of the random points that average over neurons where z has more than
            four independent directions, or no rule is accurate.
        samples: how many such points; by default what takes a few seconds.
        descent: whether to add the blocks of gradient descent.

    Returns:
        :class:`Blocks` with errors: those of the refined rule, or standard errors.

    Raises:
        ValueError: for networks outside these conditions, moments that do not exist, or more rows
            (points × outputs) than tensors over four of them can hold.
    """
    x = np.asarray(x, dtype=float)
    require_one_hidden(net, len(x))
    limit = net.at_width(np.inf, x.shape[1])
    projection = project(limit, x)
    require_smooth(net, projection)
    kernels = limit_kernels(limit, x)
    same = np.eye(net.outputs)
    nngp, ntk = np.kron(np.asarray(kernels.nngp), same), np.kron(np.asarray(kernels.ntk), same)
    copies, shared = moments(
        net.activation,
        projection,
        key=jax.random.key(0) if key is None else key,
        samples=samples,
    )
    parameters = _covariance(limit, x)
    neuron = Neuron(net, limit, parameters, train, _skewed(net, projection))

    def of(moment: Moments) -> dict[Name, np.ndarray]:
        made = neuron.blocks(moment)
        return made | descent_blocks(neuron, moment) if descent else made

    def blocks(values, errors, engine, replicates=()) -> Blocks:
        return Blocks(
            nngp,
            ntk,
            values,
            errors,
            engine,
            net.outputs,
            train * net.outputs,
            float(np.max(kernels.error)),
            replicates,
            net.ratios[0],
        )

    if len(copies) == 1:
        values = of(copies[0])
        shifted = of(Moments(len(x), copies[0].flat + shared.flat))
        errors = {name: np.abs(shifted[name] - values[name]) for name in values}
        engine = "one hidden layer: one-neuron expectations by a refined rule"
        return blocks(values, errors, engine, (blocks(shifted, {}, engine),))
    require_standard_error(net)
    engine = f"one hidden layer: one-neuron expectations by {len(copies)} sets of Sobol points"
    groups = np.array_split(np.arange(len(copies)), min(_REPLICATES, len(copies)))
    flats = [np.mean([copies[i].flat for i in group], axis=0) for group in groups]
    parts = [of(Moments(len(x), flat)) for flat in flats]
    values = {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}
    errors = {
        name: np.std([part[name] for part in parts], axis=0, ddof=1) / np.sqrt(len(parts))
        for name in values
    }
    return blocks(values, errors, engine, tuple(blocks(part, {}, engine) for part in parts))


def require_one_hidden(net: MLP, points: int) -> None:
    """Raise ``ValueError`` for a network that has no such blocks, or more rows than fit."""
    require_conditions(net)
    if points > _MOST_POINTS or points * net.outputs > _MOST_ROWS:
        raise ValueError(
            f"the dense engine holds tensors over four rows: at most {_MOST_POINTS} points and "
            f"{_MOST_ROWS} rows (points x outputs), got {points} points and {net.outputs} outputs"
        )


def _covariance(net: MLP, x: np.ndarray) -> np.ndarray:
    """k, the inner products of the derivatives of z with respect to the first layer."""
    bias = float(net.bias_std[0]) if net.has_bias(0) else 0.0
    return float(net.weight_std[0]) ** 2 * (x @ x.T) / x.shape[1] + bias**2


def _skewed(net: MLP, projection: Projection) -> bool:
    """Whether E O₃ can differ from 0."""
    odd = net.activation.parity == "odd" and all(law.symmetric for law in projection.laws)
    return not (net.weight_law[1].symmetric or odd)
