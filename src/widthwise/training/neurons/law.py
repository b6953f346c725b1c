r"""The law during training of wide networks with one hidden layer, for hundreds of points.

The outputs f_t on all points (train first) of a network of width n have, over initializations,

    E f_t = Σ_P n^{-P/2} mean[P](t) + …,    Cov f_t = Σ_P n^{-P/2} covariance[P](t) + …,  P ≤ 2.

Order 0 is the linear flow of the infinitely wide network. The dense expansion needs joint moments
of a neuron's output, tangent kernel and their derivatives: tensors with four indices. Here every
sampled neuron is instead expanded along its own motion in the mean field's residuals
(:mod:`.jets`), at a cost of a few matrix products per neuron, for all points and times at once;
what is odd in a readout weight, order n^{-1/2} included, comes from three tensors of three indices
(:mod:`.skewed`). Exact are the kernels and the algebra; the time grid is good to a relative 1e-4 or
better; the rest is Monte Carlo, and every coefficient has its standard error.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.limit.flow import LinearFlow, linear_flow
from widthwise.model.architecture import MLP, require_network
from widthwise.training.neurons.average import Average, Cubic, Estimate, Progress
from widthwise.training.neurons.conditions import require_neurons
from widthwise.training.neurons.engine import Engine
from widthwise.training.neurons.fluctuation import kernel_fluctuation
from widthwise.training.neurons.odd import memory_needed, odd, vanishes
from widthwise.training.neurons.problem import Problem, problem
from widthwise.training.neurons.sampling import Sampler
from widthwise.training.neurons.skewed import Skewed

_GRID = {"stages": 4, "growth": 2.5}
_FINE_GRID = {"stages": 6, "growth": 2.5}
_DOUBT = 4.0


@dataclass(frozen=True, eq=False)
class ScalableLaw:
    """Coefficients of the mean and covariance of the outputs, of n^{-P/2} for P = 0, 1, 2.

    Args:
        flow: the linear flow, order 0.
        times: gradient-flow times.
        mean: (orders, times, points).
        mean_error: standard errors of ``mean``; order 0 is not sampled.
        covariance: (orders, times, points, points).
        covariance_error: standard errors of ``covariance``.
        disagreement: root mean square z of the two forms of the cubic term, near 1 if all is well;
            ``None`` where only one form exists.
        cubic: the form of the cubic term that was sampled.
        neurons: how many neurons were followed through training.
        first_order: Var f₁, the coefficient of 1/n of the mean square of the first deviation
            from the linear flow about its mean.
        kernel_fluctuation: n E‖(Θ_n(0) − Θ)q‖² for the eigenvectors q of Θ (train,).
        displacement: ‖δ‖², mean square movement of the outputs in the norm of the tangent kernel's
            space, over the width ratio, at the times; the expansion is good where it is small to n.
    """

    flow: LinearFlow
    times: Float[np.ndarray, " times"]
    mean: Float[np.ndarray, "orders times points"]
    mean_error: Float[np.ndarray, "orders times points"]
    covariance: Float[np.ndarray, "orders times points points"]
    covariance_error: Float[np.ndarray, "orders times points points"]
    disagreement: float | None
    cubic: str
    neurons: int
    first_order: Float[np.ndarray, "times points"]
    kernel_fluctuation: Float[np.ndarray, " train"]
    displacement: Float[np.ndarray, " times"]


def scalable_law(
    net: MLP,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None,
    times: ArrayLike,
    *,
    key: jax.Array,
    tolerance: float = 0.02,
    most: int = 1 << 21,
    cubic: Cubic = "auto",
    replicates: int = 8,
    precision: Literal["float32", "float64"] = "float32",
    memory: float = 1.5e9,
    flow: LinearFlow | None = None,
    progress: Progress | None = None,
) -> ScalableLaw:
    """Mean and covariance of the outputs through 1/n during gradient flow, for hundreds of points.

    Args:
        net: one hidden layer, one output, NTK parametrization, a smooth activation; any laws of
            which the readout has four moments and the hidden outputs φ(z) eight.
        x_train: train points (train, inputs).
        y_train: labels (train,) or (train, 1).
        x_test: test points (test, inputs), or ``None``.
        times: finite gradient-flow times of ½ Σ (f − y)².
        key: JAX random key; the same key gives the same numbers.
        tolerance: standard error aimed at for the 1/n coefficient of the mean, root mean square
            over points relative to the coefficient's, at the worst of the times.
        most: neurons to follow at most; the errors say what was reached.
        cubic: how the cubic term is averaged: ``"plain"``; ``"by_parts"``, integrated by parts, for
            Gaussian weights; or ``"auto"``, the better of both on a first round.
        replicates: independent copies whose spread is the error, an even number.
        precision: of the fields along the neurons; kernels and responses are float64.
        memory: bytes to work in.
        flow: the linear flow of the same network and points, if it is known.
        progress: called as progress(neurons done, neurons expected).

    Returns:
        :class:`ScalableLaw`.

    Raises:
        ValueError: for a network this law is not available for (with the reason), an infinite time,
            or arguments out of range.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.training.neurons import scalable_law
        >>> net = ww.MLP(depth=1, activation="erf", bias_std=(0.5, 0.0))
        >>> law = scalable_law(net, [[1.0], [-1.0]], [1.0, 0.0], None, [0.5], key=jax.random.key(0))
        >>> law.mean.shape
        (3, 1, 2)
    """
    checks.require_x64()
    require_network(net)
    tolerance = checks.positive(tolerance, "tolerance")
    memory = checks.positive(memory, "memory")
    most = checks.positive_integer(most, "most")
    if checks.positive_integer(replicates, "replicates") < 4 or replicates % 2:
        raise ValueError(f"replicates must be an even number of at least 4, got {replicates!r}")
    if cubic not in ("auto", "plain", "by_parts"):
        raise ValueError(f"cubic must be 'auto', 'plain' or 'by_parts', got {cubic!r}")
    if precision not in ("float32", "float64"):
        raise ValueError(f"precision must be 'float32' or 'float64', got {precision!r}")
    moments = checks.some_times(times)
    require_neurons(net, moments)
    flow = flow or linear_flow(net, x_train, y_train, x_test)
    of = problem(net, flow, _points(x_train, x_test, flow))
    if cubic == "by_parts" and not of.gaussian:
        laws = ", ".join(sorted({law.name for law in (*of.sources.laws, net.weight_law[1])}))
        raise ValueError(
            f"integration by parts needs Gaussian weights and biases, got {laws}; use cubic='auto'"
        )
    positive = moments > 0
    law = _at_order_zero(of, moments)
    if not positive.any():
        return law
    seeds = np.random.SeedSequence(np.ravel(jax.random.key_data(key)).tolist()).spawn(2)
    later, sampler, kind = moments[positive], Sampler(of), np.dtype(precision)
    engine = Engine(of, later, of.panels(later, **_GRID), sampler.maps, kind)
    skewed = None if vanishes(of) else Skewed(of, later, of.panels(later, **_FINE_GRID), kind)
    needed = memory_needed(of, len(later), kind) if skewed else 0.0
    if needed > memory:
        raise ValueError(
            f"the skewed readout law {net.weight_law[1].name} needs tensors of three rows, "
            f"{needed / 1e9:.1f} GB for {of.points} points and {len(later)} times, more than "
            f"memory={memory:.2g} bytes; allow more, or take fewer points or times"
        )
    average = Average(engine, sampler, replicates, most, memory, progress)
    even = average.even(seeds[0], tolerance, cubic)
    _warn_of_disagreement(even.disagreement)
    _add(law, 2, positive, even.estimate, of.net.ratios[0])
    if skewed is not None:
        size = np.sqrt((even.estimate.value.mean**2).mean(-1))
        skew = odd(skewed, sampler, seeds[1], replicates, tolerance, size, most)
        _add(law, 1, positive, skew.half, of.net.ratios[0])
        _add(law, 2, positive, skew.products, of.net.ratios[0])
    return replace(law, disagreement=even.disagreement, cubic=even.form, neurons=even.neurons)


def _points(x_train: ArrayLike, x_test: ArrayLike | None, flow: LinearFlow) -> np.ndarray:
    x = checks.points(x_train, "x_train")
    if x_test is not None:
        tests = checks.points(x_test, "x_test")
        checks.same_inputs(x, tests, "x_train", "x_test")
        x = np.concatenate([x, tests])
    if len(x) != len(flow.nngp):
        raise ValueError(
            f"flow is that of {len(flow.nngp)} points, but x_train and x_test hold {len(x)}; leave "
            "flow out, or pass the linear flow of these points"
        )
    return x


def _at_order_zero(of: Problem, times: np.ndarray) -> ScalableLaw:
    flow, T, p = of.flow, len(times), of.points
    mean, covariance = np.zeros((3, T, p)), np.zeros((3, T, p, p))
    mean[0], covariance[0] = flow.mean(times)[..., 0], flow.covariance(times)
    values, Q = flow.eigenvalues, of.vectors
    start = (Q.T @ of.labels) ** 2 + np.einsum(
        "ai,ab,bi->i", Q, flow.nngp[: of.train, : of.train], Q, optimize=True
    )
    learnt = -np.expm1(-values * times[:, None])
    weight = learnt**2 / np.where(values > 0, values, 1.0)
    return ScalableLaw(
        flow,
        times,
        mean,
        np.zeros_like(mean),
        covariance,
        np.zeros_like(covariance),
        None,
        "none",
        0,
        np.zeros((T, p)),
        kernel_fluctuation(of, Sampler(of)) / of.net.ratios[0],
        weight @ start / of.net.ratios[0],
    )


def _add(law: ScalableLaw, order: int, at: np.ndarray, estimate: Estimate, ratio: float) -> None:
    """Add an independent estimate to the coefficients of ε^order, ε = (ratio · n)^{-1/2}."""
    factor, (value, spread) = ratio ** (-order / 2), estimate
    for total, error, new, new_error in (
        (law.mean, law.mean_error, value.mean, spread.mean),
        (law.covariance, law.covariance_error, value.covariance, spread.covariance),
    ):
        total[order, at] += factor * new
        error[order, at] = np.hypot(error[order, at], factor * new_error)
    law.first_order[at] += factor * value.first_order


def _warn_of_disagreement(z: float | None) -> None:
    if z is not None and z > _DOUBT:
        warnings.warn(
            f"two exact forms of the cubic term differ by {z:.1f} standard errors: the 1/n terms "
            "are heavier-tailed than the errors tell; stop training earlier, or sample with "
            "another key and a smaller tolerance and compare",
            RuntimeWarning,
            stacklevel=3,
        )
