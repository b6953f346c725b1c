r"""Joint cumulants of F and Δ of few factors, as far as they are known without drawing networks.

    E F F,    E Δ,    κ(F, F, F),    κ(Δ, F),    κ(Δ, F, F)

determine E h and κ(g, h), h = Σ_j Δ_j (F_j − y_j):

    E h     = Σ_j κ(Δ_j, F_j) − y_j E Δ_j,
    κ(g, h) = Σ_j κ(g, Δ_j, F_j) + κ(g, F_j) E Δ_j − y_j κ(g, Δ_j).

For one hidden layer they are single powers of the number N of neurons, integrated by a rule or over
sampled neurons; for deep networks, series from the cumulant recursion, through n^{−2} where only
powers of 1/n occur and through n^{−3/2} otherwise. What a series leaves out is taken to be its last
coefficient that does not vanish times the first power of n left out.

The entries of one cumulant share their neurons, or their rule, so their errors are correlated.
Sampled ones come with independent replicates, each contracted as a whole: their spread is the
standard error of the result, correlations included. Errors of unknown signs, those of rules and of
series, are added in absolute value, which bounds the error of the result whatever the signs are.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import numpy as np

from widthwise.algebra.gaussian import Estimate
from widthwise.algebra.series import Series
from widthwise.initial.cumulants import output_cumulants
from widthwise.initial.tangents import ntk_statistics
from widthwise.model.architecture import MLP
from widthwise.training.blocks.one_hidden import one_hidden_blocks
from widthwise.training.blocks.value import Blocks
from widthwise.training.ensembles.controls import Controls
from widthwise.training.ensembles.expectations import averaged

_MOST_POINTS = 3  # of the recursion: its cost grows with the fourth power


class Few(NamedTuple):
    """Joint cumulants of few factors at one width; rows are all points, columns train points.

    Args:
        second: E F F (rows, rows).
        change: E Δ (rows, columns).
        third: κ(F, F, F) (rows, rows, rows).
        kernel_output: κ(Δ, F) (rows, columns, rows).
        kernel_outputs: κ(Δ, F, F) (rows, columns, rows, rows).
        replicates: independent estimates whose mean these are, where neurons were sampled.
    """

    second: Estimate
    change: Estimate
    third: Estimate
    kernel_output: Estimate
    kernel_outputs: Estimate
    replicates: "tuple[Few, ...]" = ()

    @property
    def parts(self) -> tuple[Estimate, ...]:
        """The five cumulants."""
        return self[:5]


Known: TypeAlias = Callable[[int], Few]


class Lowest(NamedTuple):
    """What :class:`Few` determines: κ(F, F, F) towards train modes, E h and κ(g, h)."""

    third: Estimate
    first_order: Estimate
    mixed: Estimate


def lowest(controls: Controls, few: Few) -> Lowest:
    """Contract with the time factors; see the module's text for the errors."""
    plain = _Contraction.of(controls)
    value = plain(*(part.value for part in few.parts))
    if len(few.replicates) > 1:
        each = [plain(*(part.value for part in copy.parts)) for copy in few.replicates]
        errors = [averaged(np.stack(copies)).error for copies in zip(*each, strict=True)]
    else:
        sizes = plain.sizes()
        low = sizes(*(np.abs(part.value) for part in few.parts))
        high = sizes(*(np.abs(part.value) + part.error for part in few.parts))
        errors = [h - l for h, l in zip(high, low, strict=True)]
    return Lowest(*(Estimate(v, e) for v, e in zip(value, errors, strict=True)))


class _Contraction(NamedTuple):
    """The maps from joint cumulants to :class:`Lowest`, polynomials in their entries.

    Args:
        propagator: A_t (times, rows, rows).
        labels: y in the train modes.
        vectors: Q (train, modes).
        weights: the time factors of the term in Δ (times, channels, modes).
        channels: from channels to rows.
        forced: the row, in the eigenbasis, that each channel answers to.
        minus: the sign of a label.
    """

    propagator: np.ndarray
    labels: np.ndarray
    vectors: np.ndarray
    weights: np.ndarray
    channels: np.ndarray
    forced: np.ndarray
    minus: float

    @classmethod
    def of(cls, controls: Controls) -> "_Contraction":
        map_ = controls.solution
        matrices = (controls.propagator, controls.labels, map_.eigenvectors, controls.weights)
        return cls(*matrices, controls.channels, map_.forced, -1.0)

    def sizes(self) -> "_Contraction":
        """The same with every coefficient replaced by its absolute value."""
        propagator, labels, vectors, weights, channels = map(np.abs, self[:5])
        return _Contraction(propagator, labels, vectors, weights, channels, self.forced, 1.0)

    def _modes(self, tensor: np.ndarray) -> np.ndarray:
        """The last axis, over rows or train rows, in train modes."""
        return tensor[..., : len(self.vectors)] @ self.vectors

    def _driven(self, kernel: np.ndarray) -> np.ndarray:
        """Σ_i w_{xij} Δ_ij of Δ (..., rows, modes): (..., times, rows, modes)."""
        train = len(self.vectors)
        rows = np.concatenate(
            [self.vectors.T @ kernel[..., :train, :], kernel[..., train:, :]], axis=-2
        )
        weighted = self.weights * rows[..., None, self.forced, :]
        return np.einsum("xc,...tcj->...txj", self.channels, weighted, optimize=True)

    def __call__(self, second, change, third, kernel_output, kernel_outputs):
        """κ(F, F, F), E h and κ(g, h) of :class:`Lowest`."""
        A, y, minus = self.propagator, self.labels, self.minus
        mean = self._driven(self._modes(change))
        in_modes = np.moveaxis(self._modes(kernel_output), -1, 0)
        twice = self._driven(self._modes(in_modes))
        first = np.einsum("jtxj->tx", twice) + minus * (mean @ y)
        in_modes = np.moveaxis(self._modes(kernel_outputs), (2, 3), (0, 1))
        cross = np.einsum("ajtxj->tax", self._driven(self._modes(in_modes)))
        labelled = self._driven(self._modes(np.moveaxis(kernel_output, 2, 0))) @ y
        cross = cross + minus * np.swapaxes(labelled, 0, 1)
        cross = cross + np.einsum("aj,txj->tax", self._modes(second), mean)
        turned = self._modes(np.swapaxes(self._modes(third), 1, 2)).swapaxes(1, 2)
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
        numerical = Series(series.error).at(width)
        return series.at(width), numerical + _omitted(series, width, integer=integer)

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


def _omitted(series: Series, width: int, *, integer: bool) -> float:
    """The last coefficient that does not vanish, times the first power of n left out.

    A coefficient within its numerical error vanishes: parity may leave a quantity with every other
    power only.
    """
    present = np.flatnonzero(np.abs(series.coefficients) > series.error)
    if series.exact or not len(present):
        return 0.0
    omitted = series.order + (2 if integer else 1)
    return float(abs(series.coefficients[present[-1]]) * width ** (-omitted / 2))


def _sorted(points: int, count: int) -> list[tuple[int, ...]]:
    return [k for k in np.ndindex((points,) * count) if list(k) == sorted(k)]


def known_neuron(
    net: MLP,
    x: np.ndarray,
    train: int,
    *,
    key: jax.Array | None = None,
    samples: int | None = None,
) -> Known | None:
    """The same for one hidden layer of independent neurons; ``None`` if there is no rule.

    The blocks are coefficients of powers of N/ratio, N being the number of neurons: where
    ratio · width is not an integer, N is rounded and N/ratio is not the width.

    Args:
        net: a network with one hidden layer.
        x: all points, train points first (points, inputs).
        train: how many of them are train points.
        key: JAX random key of the neurons, where they are sampled.
        samples: how many then.
    """
    try:
        blocks = one_hidden_blocks(net, x, train, key=key, samples=samples)
    except ValueError:
        return None
    p, sampled = len(x), len(blocks.replicates) > 1

    def of(blocks: Blocks, effective: float, *, replicates: tuple[Few, ...] = ()) -> Few:
        def block(name: str, order: int, shape: tuple[int, ...]) -> Estimate:
            scale, key = effective ** (-order / 2), (name, order)
            value = np.broadcast_to(blocks.values.get(key, 0.0), shape)
            error = np.broadcast_to(blocks.errors.get(key, 0.0), shape)
            return Estimate(scale * value, scale * error)

        return Few(
            Estimate(blocks.nngp, 0 * blocks.nngp),
            Estimate(*np.zeros((2, p, train))),
            block("FFF", 1, (p, p, p)),
            block("DF", 1, (p, train, p)),
            block("DFF", 2, (p, train, p, p)),
            replicates,
        )

    def few(width: int) -> Few:
        effective = net.widths(width)[0] / blocks.ratio
        copies = blocks.replicates if sampled else ()
        return of(blocks, effective, replicates=tuple(of(copy, effective) for copy in copies))

    return few
