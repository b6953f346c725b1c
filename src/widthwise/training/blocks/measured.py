r"""Blocks of any architecture, measured on small networks at initialization.

With F = f₀, D = Θ_n − Θ, T = O_3 and U = O_4 of networks of width n that were drawn, not trained,

    n E[FF − K],  n E D,  n cum(F, F, F, F),  n cum(D, F, F),  n Cov(D, D),  n E[T F],  n E U

converge as n → ∞ with corrections of order 1/n for symmetric laws, so that two small widths give

    B = (n₂ B(n₂) − n₁ B(n₁)) / (n₂ − n₁) + O(1/(n₁ n₂)).                                       (1)

Neither labels nor times nor the width to be predicted enter, and the noise does not grow with that
width: averages over trained networks would have to resolve their 1/n among deviations of n^{-1/2}.
K and Θ are taken exact where they are given; else they are extrapolated like (1) from E FF and
E Θ_n, with an error that is then the largest of all. Standard errors over independent groups of
networks.

Not for skewed laws, whose corrections start at n^{-1/2}: a mean of O_3 seen not to vanish is
refused, and so are skewed weights between hidden layers that are seen to move the mean kernels
under a symmetric readout (:mod:`.measured_skew`). Nor for kinks: O_3 and O_4 are then derivatives
almost everywhere that miss the crossings of kinks, and a network seen to have some is refused.
Outputs must average to 0 at initialization: another mean, if seen, is refused. So are
heavy tails, seen where one network makes up much of the mean square of Θ_n: Cov(D, D), or its
standard error, then does not exist.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.finite.ntk.function import examples
from widthwise.training.blocks.measured_skew import Apply, Init, require_even_in_hidden_weights
from widthwise.training.blocks.value import Blocks, Name
from widthwise.training.realization.tensors import hierarchy
from widthwise.training.smoothness import WHY, kinked

GROUPS = 8
_NUMBERS_AT_ONCE = 2e7
_LINES, _LOOKED_AT = 8, 64  # kinks are looked for on lines, at a width that crosses some on each
_HEAVY, _FEW = 0.05, 40  # largest share of one network in a mean: 5 %, or of 40 among few
_COPIES = 6  # of the second directional derivatives of the Jacobian, in the compiled program
_SEEN = 6.0  # standard errors from 0: one in 2000 single entries, of eight groups, by chance


class Means(NamedTuple):
    """Means over networks of one width."""

    first: np.ndarray
    outputs: np.ndarray
    ntk: np.ndarray
    third: np.ndarray
    outputs4: np.ndarray
    ntk_outputs2: np.ndarray
    ntk2: np.ndarray
    third_outputs: np.ndarray
    fourth: np.ndarray
    heaviest: np.ndarray
    """What the one network of the largest ‖Θ_n‖² adds to the mean of ‖Θ_n‖²."""


def measured_blocks(
    apply: Apply,
    init: Init,
    x: ArrayLike,
    train: int | None = None,
    *,
    kernels: tuple[ArrayLike, ArrayLike] | None = None,
    widths: Sequence[int] = (16, 32),
    members: int = 20_000,
    key: jax.Array | None = None,
) -> Blocks:
    """The joint statistics at initialization of any network, from networks that are drawn.

    Args:
        apply: outputs (points, outputs) of parameters and points; three times differentiable.
        init: parameters from a JAX key and a width n; plain gradient flow trains them, so n^{-1/2}
            and scales belong into ``apply`` (NTK parametrization).
        x: data (points, ...), train points first.
        train: how many of them are train points; ``None`` for all.
        kernels: K and Θ of the infinitely wide network, (rows, rows) over points × outputs;
            ``None`` extrapolates them.
        widths: two widths, small.
        members: networks of each.
        key: a JAX random key; by default a fixed one.

    Returns:
        :class:`Blocks` with standard errors and replicates.

    Raises:
        ValueError: for bad shapes, widths that are not two, too few members, a network that is
            seen to have kinks or so heavy tails that one network outweighs the others, statistics
            that are not finite, a mean output or mean O_3 that is seen not to vanish, or weights
            between hidden layers that are seen to be skewed.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.training.blocks.measured import measured_blocks
        >>> net = ww.MLP(2, "tanh")
        >>> init = lambda key, width: net.init(key, width, inputs=1)
        >>> blocks = measured_blocks(net.apply, init, [[1.0]], members=400, widths=(4, 8))
        >>> blocks.values["U", 2].shape
        (1, 1, 1, 1)
    """
    checks.require_x64()
    points = jnp.asarray(examples(x))
    sizes = sorted(checks.width(n, "widths") for n in widths)
    if len(sizes) != 2 or sizes[0] == sizes[1]:
        raise ValueError(f"widths must be two different widths, got {widths!r}")
    count = checks.positive_integer(members, "members") // GROUPS
    if count < 2:
        raise ValueError(f"members must be at least {2 * GROUPS}, got {members!r}")
    key = jax.random.key(0) if key is None else key
    outputs = jax.eval_shape(lambda k: apply(init(k, sizes[0]), points), key).size // len(points)
    rows = len(points) * outputs
    columns = rows if train is None else checks.positive_integer(train, "train") * outputs
    if columns > rows:
        raise ValueError(f"train must be at most the number of points {len(points)}, got {train}")
    start = init(jax.random.fold_in(key, 0), max(sizes[1], _LOOKED_AT))
    if kinked(apply, start, points, jax.random.fold_in(key, 1), _LINES):
        raise ValueError(
            f"apply cannot be measured: {WHY}; take smooth activations, and means instead of "
            "maxima, or train an ensemble of the networks themselves"
        )
    given = None if kernels is None else (_kernel(kernels[0], rows), _kernel(kernels[1], rows))
    groups = [
        [
            _means(apply, init, n, points, columns, count, jax.random.fold_in(key, n * GROUPS + g))
            for g in range(GROUPS)
        ]
        for n in sizes
    ]
    for n, means in zip(sizes, groups, strict=True):
        _require(n, means, count * GROUPS)
    require_even_in_hidden_weights(apply, init, sizes, points, count * GROUPS, key)
    whole = given or _extrapolated_kernels(sizes, [_averaged(g) for g in groups], columns)
    engine = f"{members} networks at each of the widths {sizes[0]} and {sizes[1]}"
    rest = {"engine": engine, "outputs": outputs, "train": columns}
    parts = []
    for pair in zip(*groups, strict=True):
        K, theta = given or _extrapolated_kernels(sizes, list(pair), columns)
        parts.append(Blocks(K, theta, _blocks(sizes, pair, (K, theta), columns, count), **rest))
    stacked = {name: np.stack([part.values[name] for part in parts]) for name in parts[0].values}
    errors = {name: v.std(0, ddof=1) / np.sqrt(GROUPS) for name, v in stacked.items()}
    values = {name: v.mean(0) for name, v in stacked.items()}
    spread = np.std([[part.nngp[:, :columns], part.ntk[:, :columns]] for part in parts], 0, ddof=1)
    rest["kernel_error"] = float(np.sqrt(np.mean(spread**2) / GROUPS))
    return Blocks(*whole, values, errors, replicates=tuple(parts), **rest)


# --- networks -----------------------------------------------------------------------------------


def _statistics(
    apply: Apply, parameters: PyTree, x: jax.Array, columns: int
) -> tuple[jax.Array, ...]:
    """f, Θ, O_3 and O_4 of one network."""
    leaves, structure = jax.tree.flatten(parameters)

    def outputs(leaves: list[jax.Array]) -> jax.Array:
        return apply(jax.tree.unflatten(structure, leaves), x).ravel()

    tensors = hierarchy(outputs, columns, lambda function, along: jax.vmap(function)(along))
    return outputs(leaves), *(tensor(leaves) for tensor in tensors)


@partial(jax.jit, static_argnums=(0, 1, 2, 4, 5))
def _sums(apply, init, width, x, columns, batch, keys) -> tuple[jax.Array, ...]:
    """The fields of :class:`Means`, summed over networks."""
    outer = partial(jnp.tensordot, axes=0)

    def one(key: jax.Array) -> tuple[jax.Array, ...]:
        f, D, T, U = _statistics(apply, init(key, width), x, columns)
        ff = outer(f, f)
        return f, ff, D, T, outer(ff, ff), outer(D, ff), outer(D, D), outer(T, f), U, jnp.sum(D**2)

    def step(total, some):
        *found, square = jax.vmap(one)(some)
        *sums, largest = total
        sums = [t + v.sum(0) for t, v in zip(sums, found, strict=True)]
        return (*sums, jnp.maximum(largest, square.max())), None

    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(one, keys[0]))
    return jax.lax.scan(step, zero, keys.reshape(-1, batch))[0]


def _means(
    apply: Apply, init: Init, width: int, x: jax.Array, columns: int, count: int, key: jax.Array
) -> Means:
    parameters = jax.eval_shape(lambda k: init(k, width), key)
    size = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    rows = jax.eval_shape(apply, parameters, x).size
    each = _COPIES * (1 + columns) ** 2 * rows * (size + columns + rows)
    batch = int(np.clip(_NUMBERS_AT_ONCE / each, 1, count))
    batch = max(b for b in range(1, batch + 1) if count % b == 0)
    sums = _sums(apply, init, width, x, columns, batch, jax.random.split(key, count))
    return Means(*(np.asarray(value, dtype=float) / count for value in sums))


def _averaged(means: Sequence[Means]) -> Means:
    return Means(*(np.mean(parts, axis=0) for parts in zip(*means, strict=True)))


def _require(width: int, means: Sequence[Means], members: int) -> None:
    """Refuse what is not finite, heavy tails, and a mean output or mean O_3 that is not 0."""
    if not all(np.isfinite(value).all() for group in means for value in group):
        raise ValueError(
            f"outputs, kernels or their derivatives of networks of width {width} are not finite; "
            "look at apply and init"
        )
    start, z = _from_zero([group.first for group in means])
    if z > _SEEN:
        raise ValueError(
            f"the mean output of networks of width {width} at initialization is {start:.2g}, "
            f"{z:.1f} standard errors from 0: the law is that of networks whose outputs average to "
            "0; subtract their mean in apply and from the labels, or centre the law of the readout"
        )
    share = max(float(group.heaviest) for group in means) / sum(
        np.einsum("ijij->", group.ntk2) for group in means
    )
    if share > max(_HEAVY, _FEW / members):
        raise ValueError(
            f"one of {members} networks of width {width} makes up {share:.0%} of the mean of "
            "‖Θ_n‖²: a law with so heavy tails has no covariance of the tangent kernel, or none "
            "that can be measured; take laws of the weights with eight moments"
        )
    third, z = _from_zero([group.third for group in means])
    if z > _SEEN:
        raise ValueError(
            f"the mean of O_3 over networks of width {width} is {third:.2g}, {z:.1f} standard "
            "errors from 0: corrections are then series in n^(-1/2), which two widths cannot "
            "resolve; take symmetric laws of the weights"
        )


def _from_zero(groups: Sequence[np.ndarray]) -> tuple[float, float]:
    """The largest entry of a mean, and its root mean square in standard errors."""
    each = np.stack(groups)
    mean, error = each.mean(0), each.std(0, ddof=1) / np.sqrt(len(each))
    z = mean / np.maximum(error, 1e-12 * np.abs(each).max() + 1e-300)
    return float(np.abs(mean).max()), float(np.sqrt(np.mean(z**2)))


# --- from means to blocks -----------------------------------------------------------------------


def _blocks(
    widths: Sequence[int],
    means: Sequence[Means],
    kernels: tuple[np.ndarray, np.ndarray],
    columns: int,
    count: int,
) -> dict[Name, np.ndarray]:
    """Equation (1), block by block."""
    at = [_of_width(n, m, *kernels, columns, count) for n, m in zip(widths, means, strict=True)]
    return {name: _extrapolated(widths, [a[name] for a in at]) for name in at[0]}


def _of_width(
    n: int, m: Means, K: np.ndarray, theta: np.ndarray, columns: int, count: int
) -> dict[Name, np.ndarray]:
    """The cumulants at one width, times n, from ``count`` networks: unbiased."""

    def product(a: np.ndarray, b: np.ndarray, together: np.ndarray) -> np.ndarray:
        """E A E B from the means of A, B and A ⊗ B, without the bias Cov(A, B)/count."""
        return (count * np.multiply.outer(a, b) - together) / (count - 1)

    pairs = product(m.outputs, m.outputs, m.outputs4)
    gaussian = pairs + pairs.transpose(0, 2, 1, 3) + pairs.transpose(0, 2, 3, 1)
    cumulants = {
        "FF": m.outputs - K,
        "D": m.ntk - theta[:, :columns],
        "FFFF": m.outputs4 - gaussian,
        "DFF": m.ntk_outputs2 - product(m.ntk, m.outputs, m.ntk_outputs2),
        "DD": m.ntk2 - product(m.ntk, m.ntk, m.ntk2),
        "TF": m.third_outputs,
        "U": m.fourth,
    }
    return {(name, 2): n * value for name, value in cumulants.items()}


def _extrapolated(widths: Sequence[int], values: Sequence[np.ndarray]) -> np.ndarray:
    small, large = widths
    return (large * values[1] - small * values[0]) / (large - small)


def _extrapolated_kernels(
    widths: Sequence[int], means: Sequence[Means], columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """K and Θ where they are not known; Θ between test rows, which nothing takes, is left at 0."""
    K = _extrapolated(widths, [m.outputs for m in means])
    theta = np.zeros_like(K)
    theta[:, :columns] = _extrapolated(widths, [m.ntk for m in means])
    theta[:columns] = theta[:, :columns].T
    theta[:columns, :columns] = (theta[:columns, :columns] + theta[:columns, :columns].T) / 2
    return (K + K.T) / 2, theta


def _kernel(kernel: ArrayLike, rows: int) -> Float[np.ndarray, "rows rows"]:
    array = np.asarray(kernel, dtype=float)
    if array.shape != (rows, rows) or not np.isfinite(array).all():
        raise ValueError(
            f"kernels must be two finite arrays of shape ({rows}, {rows}), one row per point and "
            f"output, got shape {array.shape}"
        )
    return array
