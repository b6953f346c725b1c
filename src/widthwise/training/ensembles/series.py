r"""Joint cumulants of F and Δ of few factors, as far as they are known without drawing networks.

    E F F,    E Δ,    κ(F, F, F),    κ(Δ, F),    κ(Δ, F, F)

determine E h and κ(g, h), h = Σ_j Δ_j (F_j − y_j):

    E h     = Σ_j κ(Δ_j, F_j) − y_j E Δ_j,
    κ(g, h) = Σ_j κ(g, Δ_j, F_j) + κ(g, F_j) E Δ_j − y_j κ(g, Δ_j).

For one hidden layer they are single powers of n, integrated by a rule; for deep networks, series
from the cumulant recursion, through n^{−2} where only powers of 1/n occur and through n^{−3/2}
otherwise, whose remainder is taken to be the last term times the step to the next.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from widthwise.algebra.gaussian import Estimate
from widthwise.algebra.series import Series
from widthwise.initial.cumulants import output_cumulants
from widthwise.initial.tangents import ntk_statistics
from widthwise.model.architecture import MLP
from widthwise.training.blocks.one_hidden import one_hidden_blocks
from widthwise.training.ensembles.controls import Controls

_MOST_POINTS = 3  # of the recursion: its cost grows with the fourth power
_DRAWS = 16


class Few(NamedTuple):
    """Joint cumulants of few factors at one width; rows are all points, columns train points.

    Args:
        second: E F F (rows, rows).
        change: E Δ (rows, columns).
        third: κ(F, F, F) (rows, rows, rows).
        kernel_output: κ(Δ, F) (rows, columns, rows).
        kernel_outputs: κ(Δ, F, F) (rows, columns, rows, rows).
    """

    second: Estimate
    change: Estimate
    third: Estimate
    kernel_output: Estimate
    kernel_outputs: Estimate


Known: TypeAlias = Callable[[int], Few]


class Lowest(NamedTuple):
    """What :class:`Few` determines: κ(F, F, F) towards train modes, E h and κ(g, h)."""

    third: Estimate
    first_order: Estimate
    mixed: Estimate


def lowest(controls: Controls, few: Few) -> Lowest:
    """Contract with the time factors; errors of the entries are carried through by random draws."""
    rng = np.random.default_rng(0)
    value = _contracted(controls, *(part.value for part in few))
    shifted = [
        _contracted(
            controls, *(part.value + part.error * rng.normal(size=part.value.shape) for part in few)
        )
        for _ in range(_DRAWS)
    ]
    errors = [
        np.sqrt(np.mean([(s[k] - value[k]) ** 2 for s in shifted], 0)) for k in range(len(value))
    ]
    return Lowest(*(Estimate(v, e) for v, e in zip(value, errors, strict=True)))


def _contracted(controls: Controls, second, change, third, kernel_output, kernel_outputs):
    A, y = controls.propagator, controls.labels
    mean = controls.forced(change)
    DF = np.moveaxis(kernel_output, 2, 0)  # (rows, Δ)
    DFF = np.moveaxis(kernel_outputs, (2, 3), (0, 1))  # (rows, rows, Δ)
    in_modes = np.moveaxis(controls.modes(np.moveaxis(DF, 0, 2)), 2, 0)
    first = np.einsum("jtxj->tx", controls.forced(in_modes)) - mean @ y
    in_modes = np.moveaxis(controls.modes(np.moveaxis(DFF, 1, 3)), 3, 1)
    cross = np.einsum("ajtxj->tax", controls.forced(in_modes))
    cross = cross - np.swapaxes(controls.forced(DF) @ y, 0, 1)
    cross = cross + np.einsum("aj,txj->tax", controls.modes(second), mean)
    turned = controls.solution.modes(third, "tt", first=1)
    return turned, first, np.einsum("tab,tbx->tax", A, cross)


def known_series(net: MLP, x: np.ndarray, ntk: np.ndarray, *, integer: bool) -> Known | None:
    """The joint cumulants by width, where they are cheap; else ``None``.

    Args:
        net: the architecture.
        x: all points, train points first (points, inputs).
        ntk: Θ_∞ (points, train).
        integer: whether only powers of 1/n occur.
    """
    p, m = ntk.shape
    if net.outputs > 1 or p > _MOST_POINTS or p != len(x):
        return None
    order = 4 if integer else 3
    try:
        cumulants, kernels = output_cumulants(net, x, order), ntk_statistics(net, x, order)
        F = {k: cumulants.cumulant(k) for r in (2, 3) for k in _sorted(p, r)}
        D = {
            ((i, j), k): kernels.cumulant([(i, j)], k)
            for i in range(p)
            for j in range(min(m, i + 1))
            for r in (0, 1, 2)
            for k in _sorted(p, r)
        }
    except ValueError:  # a law without the moments, or too much at this order
        return None

    def at(series: Series, width: int) -> tuple[float, float]:
        last, numerical = np.abs(series.terms(width)[-1]), Series(series.error).at(width)
        omitted = 0.0 if series.exact else last / (width if integer else width**0.5)
        return series.at(width), numerical + omitted

    def tensor(width: int, shape: tuple[int, ...], series) -> Estimate:
        value = np.array([at(series(k), width) for k in np.ndindex(shape)])
        return Estimate(value[:, 0].reshape(shape), value[:, 1].reshape(shape))

    def few(width: int) -> Few:
        def outputs(k):
            return F[tuple(sorted(k))]

        def kernel(k):
            return D[tuple(sorted(k[:2], reverse=True)), tuple(sorted(k[2:]))]

        change = tensor(width, (p, m), kernel)
        return Few(
            tensor(width, (p, p), outputs),
            Estimate(change.value - ntk, change.error),
            tensor(width, (p, p, p), outputs),
            tensor(width, (p, m, p), kernel),
            tensor(width, (p, m, p, p), kernel),
        )

    return few


def _sorted(points: int, count: int) -> list[tuple[int, ...]]:
    return [k for k in np.ndindex((points,) * count) if list(k) == sorted(k)]


def known_neuron(net: MLP, x: np.ndarray, train: int) -> Known | None:
    """The same for one hidden layer of independent neurons; ``None`` if there is no rule."""
    try:
        blocks = one_hidden_blocks(net, x, train)
    except ValueError:
        return None
    p, K, zero = len(x), blocks.nngp, 0.0
    copies = blocks.replicates

    def few(width: int) -> Few:
        def block(name: str, order: int, shape: tuple[int, ...]) -> Estimate:
            scale, key = float(width) ** (-order / 2), (name, order)
            value = np.broadcast_to(blocks.values.get(key, zero), shape)
            spread = [(c.values.get(key, zero) - value) ** 2 for c in copies]
            error = np.sqrt(np.mean(spread, 0) / len(copies)) if copies else 0 * value
            return Estimate(scale * value, scale * error)

        return Few(
            Estimate(K, 0 * K),
            Estimate(*np.zeros((2, p, train))),
            block("FFF", 1, (p, p, p)),
            block("DF", 1, (p, train, p)),
            block("DFF", 2, (p, train, p, p)),
        )

    return few
