"""The blocks of a deep network: kernels layer by layer, moments, recursion, errors."""

from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.limit import first_layer
from widthwise.limit.first_layer.projection import project
from widthwise.limit.layer import has_gaussian_bias
from widthwise.model.architecture import MLP, require_network
from widthwise.training.blocks.conditions import require_standard_error
from widthwise.training.blocks.deep import layers
from widthwise.training.blocks.deep.dictionary import Name, statistics
from widthwise.training.blocks.deep.layers import Link
from widthwise.training.blocks.deep.moments import Moments, Orders
from widthwise.training.blocks.deep.nodes import (
    REPLICATES,
    Rules,
    gaussian_rules,
    projection_rules,
)
from widthwise.training.blocks.deep.observables import Observable, Type, response
from widthwise.training.blocks.deep.pairs import pair_moments
from widthwise.training.blocks.deep.recursion import Recursion, features
from widthwise.training.blocks.value import AXES, Blocks

_BIAS_NODES = 40
_WORK = 1e11
_MOST_ROWS = 50
_SAMPLES = (1 << 13, 3 << 19)
_THIRD: tuple[tuple[Type, ...], ...] = (((), (), ()), ((1,), (1,), ()), ((1, 2), (1,), (2,)))


def deep_blocks(
    net: MLP,
    x: ArrayLike,
    train: int | None = None,
    *,
    key: jax.Array | None = None,
    samples: int | None = None,
) -> Blocks:
    """The joint statistics of outputs, kernel, O_3 and O_4 at initialization, at any depth.

    Args:
        net: any depth, ratios, scales and laws; a smooth activation.
        x: data (points, inputs), train points first.
        train: how many of them are train points, to keep no more of the tensors than their rows;
            ``None`` keeps all.
        key: a JAX random key for random points; by default a fixed one.
        samples: how many random points a layer's fourth moments take where no rule will do; by
            default what about 1e11 multiplications allow.

    Returns:
        :class:`Blocks` with errors and replicates.

    Raises:
        ValueError: for bad shapes, more rows than tensors over four of them can hold, an activation
            with kinks, laws that lack a moment (the eighth of φ(z) where points are random), or
            output biases that are not Gaussian.

    Source:
        Roberts, Yaida and Hanin (2022), ch. 8 and 11, for Gaussian laws; :mod:`.recursion`.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.training.blocks.deep import deep_blocks
        >>> net = ww.MLP(depth=2, activation="tanh", weight_std=1.5)
        >>> deep_blocks(net, [[1.0, 0.5]]).values["FFFF", 2].round(4)
        array([[[[1.7642]]]])
    """
    checks.require_x64()
    require_network(net)
    x = np.asarray(checks.points(x))
    if samples is None:
        samples = int(np.clip(_WORK / (1.75 * len(x) ** 4), *_SAMPLES))
    samples = checks.positive_integer(samples, "samples")
    require_deep(net, len(x))
    key = jax.random.key(0) if key is None else key
    chain = layers.links(net, x.shape[1])
    nngp, ntk, kernel_error, moments = _limit(net, chain, x, samples, key)
    shift = layers.first_shift(net, x)
    columns = None if train is None else train * net.outputs
    runs: list[dict[Name, np.ndarray]] = []
    for replicate in (None, *range(REPLICATES)):
        recursion = Recursion(chain, ntk[:-1], moments, shift, replicate)
        found = statistics(recursion, net.outputs)
        runs.append({name: _of_train(name[0], v, columns) for name, v in found.items()})
        for layer in moments:
            layer.forget(replicate)
    K, theta = (np.kron(kernel, np.eye(net.outputs)) for kernel in (nngp[-1], ntk[-1]))
    random = ", random points" if any(layer.rules.random for layer in moments) else ""
    layered = "one hidden layer" if net.depth == 1 else f"{net.depth} hidden layers"
    engine = f"{layered}: recursion over pair kernels{random}"

    def blocks(values: dict[Name, np.ndarray], **known) -> Blocks:
        known |= {"engine": engine, "outputs": net.outputs, "ratio": min(net.ratios)}
        return Blocks(K, theta, values, train=columns, **known)

    errors = {
        name: np.std([run[name] for run in runs[1:]], 0, ddof=1) / np.sqrt(REPLICATES)
        for name in runs[0]
    }
    replicates = tuple(map(blocks, runs[1:]))
    return blocks(runs[0], errors=errors, kernel_error=kernel_error, replicates=replicates)


def require_deep(net: MLP, points: int) -> None:
    """Raise ``ValueError`` for a network that has no such blocks, or more rows than fit."""
    layers.require(net)
    rows = points * net.outputs
    if rows > _MOST_ROWS:
        raise ValueError(
            f"{points} points and {net.outputs} outputs make {rows} rows, and tensors over four "
            f"rows can be held for {_MOST_ROWS} at most; give fewer points, or one output"
        )


def _of_train(name: str, array: np.ndarray, columns: int | None) -> np.ndarray:
    """All axes but the first of each letter cut to the train rows."""
    if columns is None:
        return array
    every, some = slice(None), slice(columns)
    cut = tuple(part for letter in name for part in (every, *(some,) * (AXES[letter] - 1)))
    return array[cut].copy()


class _Limit(NamedTuple):
    """K and Θ of all layers, their largest error, and the moments of the hidden layers."""

    nngp: list[np.ndarray]
    ntk: list[np.ndarray]
    error: float
    moments: list[Moments]


def _limit(
    net: MLP, chain: tuple[Link, ...], x: np.ndarray, samples: int, key: jax.Array
) -> _Limit:
    net, first = net.at_width(np.inf, x.shape[1]), chain[0]
    highest = layers.degree(chain)
    inputs = x @ x.T / x.shape[1]
    nngp = [first.bias + first.weight * inputs]
    ntk = [first.trained_bias + first.weight * first.rate * inputs]
    moments: list[Moments] = []
    K_error = theta_error = 0.0
    for l in range(1, net.depth + 1):
        pairs, errors, rules = _layer(net, l, nngp[-1], x, highest, samples, key)
        if rules.random:
            require_standard_error(net, l - 1)
        third = _third_orders(chain, l)
        moments.append(Moments(net.activation, pairs, errors, rules, third, seed=l))
        link = chain[l]
        K, slopes = pairs[0, 0], pairs[1, 1]
        size, largest = np.abs(pairs).max((2, 3)), np.abs(ntk[-1]).max()
        own, ofslopes = errors[0, 0].max(), errors[1, 1].max()
        if K_error:  # the first layer has none, and of a first layer no more may be known
            own += K_error * (size[1, 1] + size[2, 0])
            ofslopes += K_error * (size[2, 2] + size[3, 1])
        through = link.rate * own + largest * ofslopes + size[1, 1] * theta_error
        K_error, theta_error = link.weight * own, link.weight * through
        nngp.append(link.bias + link.weight * K)
        ntk.append(link.trained_bias + link.weight * (link.rate * K + ntk[-1] * slopes))
    return _Limit(nngp, ntk, float(max(K_error, theta_error)), moments)


def _layer(
    net: MLP,
    l: int,
    covariance: Float[np.ndarray, "p p"],
    x: np.ndarray,
    highest: int,
    samples: int,
    key: jax.Array,
) -> tuple[np.ndarray, np.ndarray, Rules]:
    """Pair moments, their errors and nodes for hidden layer l, from 1."""
    key = jax.random.fold_in(key, l)
    if l == 1:
        projection = project(net, x)
        if not projection.gaussian:
            return *_first_pairs(net, x), projection_rules(projection, samples, key)
    law, scale = net.bias_law[l - 1], float(net.bias_std[l - 1])
    bias, values = None, (np.zeros(1), np.ones(1))
    if scale and not has_gaussian_bias(net, l - 1):
        nodes, weights = law.quadrature(_BIAS_NODES)
        covariance, bias, values = covariance - scale**2, (scale, law), (scale * nodes, weights)
    std = float(np.sqrt(np.diag(covariance).max()))
    layers.require_smooth(net, std, highest)
    pairs, errors = pair_moments(net.activation, covariance, highest, values)
    return pairs, errors, gaussian_rules(covariance, bias, samples, key)


def _first_pairs(net: MLP, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """⟨φφ⟩ and ⟨φ'φ'⟩ of a first layer that is not Gaussian: it takes no response."""
    p = len(x)
    a, b = np.triu_indices(p)
    found = first_layer.pair_moments(net, x, np.stack([a, b], 1))
    values, errors = np.full((2, 2, p, p), np.nan), np.full((2, 2, p, p), np.nan)
    for order in (0, 1):
        for target, source in ((values, found[order]), (errors, found[order + 2])):
            target[order, order, a, b] = target[order, order, b, a] = source
    return values, errors


def _third_orders(chain: tuple[Link, ...], l: int) -> frozenset[Orders]:
    """Orders of the third moments that hidden layer l gives to the layers above."""
    if not any(link.third for link in chain):
        return frozenset()
    observables: list[Observable] = [features(types) for types in _THIRD]
    sizes = ((),) if l == 1 else ((), (2,), (3,))
    return frozenset(
        tuple(sorted(term.orders))
        for observable in observables
        for some in sizes
        for term in response(observable, some)
    )
