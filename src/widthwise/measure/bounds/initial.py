r"""Certified upper bounds of the distance of a network from its Gaussian process at initialization.

Every theorem that applies is tried and the smallest bound kept:

| theorem | readout | hidden layers | rate |
|---|---|---|---|
| 1, Stein kernel (:mod:`.stein`) | with a density | one | n^{-1/2} |
| 2, recursion (:mod:`.deep`) | with a density, in all layers | any number | n^{-1/2} |
| 3, mixture (:mod:`.gaussian_readout`) | Gaussian, one component | one | 1/n |
| kernel of a·φ(z) (:mod:`.atoms`) | with atoms, one point, odd φ | one | n^{-1/2} |
| Goldstein (:mod:`.atoms`) | any, in projections | one | n^{-1/2} |

"Certified" is meant given the quadratures, whose estimated errors are added. Many inputs leave
random points for them (:mod:`.expectation`): 3 standard errors are added, with confidence .99.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import ArrayLike
from widthwise.limit.layer import require_moments
from widthwise.measure.bounds import atoms, gaussian_readout
from widthwise.measure.bounds.deep import Hidden, hidden_distance
from widthwise.measure.bounds.expectation import RANDOM_CONFIDENCE
from widthwise.measure.bounds.features import Features, Neuron, features, neuron
from widthwise.measure.bounds.kernel_moment import kernel_second_moment
from widthwise.measure.bounds.law_moment import absolute_moment
from widthwise.measure.bounds.metrics import PROJECTED, BoundMetric, converted, require_metric
from widthwise.measure.bounds.stein import on_line, stein_constant
from widthwise.measure.bounds.value import DistanceBound, Hypothesis, unavailable
from widthwise.model.architecture import MLP, require_network
from widthwise.model.laws import Gaussian

_GOLDSTEIN = "Goldstein's bound"


class InitialBounds:
    """What the bounds of one network on its data share, whatever is done to the outputs.

    Args:
        net: the architecture.
        x: data (points, inputs).
        width: n.
    """

    def __init__(self, net: MLP, x: Float[np.ndarray, "points inputs"], width: int):
        self.net, self.x, self.width = net.at_width(width, x.shape[1]), x, width
        self.last = self.net.widths(width)[-1]
        self.readout = self.net.weight_law[net.depth]
        self.obstacle = _obstacle(net, self.net)

    @cached_property
    def neuron(self) -> Neuron:
        """A neuron of the last hidden layer."""
        return neuron(self.net, self.x, self.net.depth)

    @cached_property
    def hidden(self) -> Hidden:
        """How far the hidden layers are from Gaussian."""
        return hidden_distance(self.net, self.x, self.width)

    def bound(
        self, A: Float[np.ndarray, "rows points"], metric: str, components: int = 1
    ) -> DistanceBound:
        """The smallest bound for the outputs A f of so many components.

        Args:
            A: the identity, a direction, the propagator of training.
            metric: which distance.
            components: q, how many outputs jointly.
        """
        if self.obstacle:
            return unavailable(metric, self.width, self.obstacle)
        given = features(self.neuron, A)
        if not given.rank:
            raise ValueError("the outputs do not vary here: their limit covariance is 0")
        rows, size = len(A) * components, float(np.linalg.norm(A, 2))
        off = math.sqrt(components) * given.off
        found = []
        for one, second in self._theorems(given, size, metric, components):
            line = one.method == _GOLDSTEIN
            value = converted(metric, one.value + off, second + off, rows, projections=line)
            found.append(replace(one, value=value, metric=metric))
        best = min(found, key=lambda one: one.value)
        others = tuple(one for one in found if one is not best)
        if not best.available:
            reasons = [h.statement for one in found for h in one.hypotheses if not h.holds]
            return unavailable(metric, self.width, *reasons)
        return replace(best, others=others)

    def _theorems(
        self, given: Features, size: float, metric: str, q: int
    ) -> Iterator[tuple[DistanceBound, float]]:
        """Bounds whose value is W₁ (Goldstein: of every projection), with W₂."""
        yield self._stein(given, size, q)
        if self.net.depth == 1 and isinstance(self.readout, Gaussian):
            yield self._mixture(given, q)
        if self.net.depth == 1 and self.readout.discrete and given.rank == 1 and q == 1:
            yield self._summands(given)
        line = len(given.lam) == 1 and metric in ("wasserstein1", "bounded_lipschitz")
        if self.net.depth == 1 and q == 1 and (line or metric in PROJECTED):
            yield self._goldstein(given)

    def _none(self, reason: str) -> tuple[DistanceBound, float]:
        return unavailable("", self.width, reason), math.inf

    def _stein(self, given: Features, size: float, q: int) -> tuple[DistanceBound, float]:
        moment, reason = kernel_second_moment(self.readout)
        reason = reason or self.hidden.reason or _without_moments(self.net, 4)
        if reason:
            return self._none(reason)
        C, error, random = stein_constant(given, moment)
        random = random or self.hidden.random
        slope = self.hidden.constants.get("Lip", 0.0)
        carried = self.neuron.weight_std * slope * size * self.hidden.distance
        own = C / math.sqrt(self.last)
        second = math.sqrt(q) * (carried + own + given.left_out)
        line = on_line(given.rank) if q == 1 and self.net.depth == 1 else 1.0
        first = line * own + given.left_out if line < 1 else second
        names = {"kernel_moment": moment, "C_S": C, "neurons": float(self.last)}
        names |= self.hidden.constants | ({"components": float(q)} if q > 1 else {})
        worst = max(error, self.hidden.error)
        deep = self.net.depth > 1
        method = "Theorem 2 (recursion over layers)" if deep else "Theorem 1 (Stein kernel)"
        extra = (
            [Hypothesis(f"activation {self.net.activation.name} is Lipschitz with {slope:g}")]
            if deep
            else []
        )
        hypotheses = (
            Hypothesis(f"readout law {self.readout.name} has a density and a Stein kernel"),
            *self._common(given, worst, random),
            *extra,
        )
        return self._made(first, method, names, hypotheses, random), second

    def _mixture(self, given: Features, q: int) -> tuple[DistanceBound, float]:
        reason = _without_moments(self.net, 12)
        if q > 1:
            reason = f"Theorem 3 is about one output component, not {q}"
        if given.rank > gaussian_readout.MOST_RANK:
            reason = (
                f"Theorem 3 is computed in at most {gaussian_readout.MOST_RANK} directions, the "
                f"outputs vary in {given.rank}"
            )
        if reason:
            return self._none(reason)
        moments = gaussian_readout.moments(given)
        found = gaussian_readout.bounds(moments, self.last)
        if math.isinf(found.second):
            return self._none(
                f"Theorem 3 needs P3 = E|D|^6 < 1, which is {found.p3:.3g} at this width"
            )
        names = {"A_4": moments.a4, "P_3": found.p3, "p_0": found.p0, "lambda": moments.largest}
        names["neurons"] = float(self.last)
        error = float(moments.sixth.error[0] / max(moments.sixth.value[0], 1e-300))
        hypotheses = (
            Hypothesis("readout law is Gaussian; 12 moments of the features exist"),
            Hypothesis(f"1 - P_3/p_0^3 > 0 at p_0 = {found.p0:.4g}"),
            *self._common(given, error, moments.random),
        )
        method = "Theorem 3 (Gaussian readout, order 1/n)"
        first = found.first + given.left_out
        made = self._made(first, method, names, hypotheses, moments.random)
        return made, found.second + given.left_out

    def _summands(self, given: Features) -> tuple[DistanceBound, float]:
        if len(self.x) > 1:
            return self._none("the Stein kernel of a·φ(z) is computed for one point")
        moment, variance, reason = atoms.summand_kernel(self.net, self.x)
        if reason:
            return self._none(reason)
        ratio = float(given.lam[0] / self.neuron.K[0, 0])  # of a direction of length not 1
        square = (moment - variance**2) / float(self.neuron.K[0, 0]) * ratio
        second = math.sqrt(max(square, 0.0) / self.last)
        names = {"summand_kernel_moment": moment, "summand_variance": variance}
        names["neurons"] = float(self.last)
        hypotheses = (
            Hypothesis(f"a·φ(z), a of the law {self.readout.name}, has a density and a kernel"),
            *self._common(given, 0.0),
        )
        method = "the Stein kernel of a·φ(z)"
        return self._made(on_line(1) * second, method, names, hypotheses), second

    def _goldstein(self, given: Features) -> tuple[DistanceBound, float]:
        reason = _without_moments(self.net, 3)
        if self.readout.highest_moment < 3:
            reason = f"the law {self.readout.name} has no third moment"
        if reason:
            return self._none(reason)
        third = absolute_moment(self.readout, 3)
        if math.isinf(third):
            return self._none(f"the tails of {self.readout.name} are too heavy to sum E|a|³")
        G, random = atoms.goldstein_constant(given, self.readout)
        names = {"G": G, "third_moment": third}
        names["neurons"] = float(self.last)
        hypotheses = (
            Hypothesis("W1 of projections on the line; third moments exist"),
            *self._common(given, 0.0, random),
        )
        first = G / math.sqrt(self.last) + given.left_out
        return self._made(first, _GOLDSTEIN, names, hypotheses, random), math.inf

    def _common(
        self, given: Features, error: float, random: bool = False
    ) -> tuple[Hypothesis, ...]:
        s = self.neuron.bias_std
        bias = f"output bias Gaussian of standard deviation {s:g}" if s else "no output bias"
        made = [Hypothesis(bias), Hypothesis("weights of different layers independent")]
        means = "random points, 3 standard errors" if random else "quadrature, relative error"
        made.append(Hypothesis(f"expectations by {means} {error:.1e} (added)"))
        if given.left_out:
            made.append(
                Hypothesis(
                    f"directions that hardly vary are left out and cost {given.left_out:.1e}"
                )
            )
        return tuple(made)

    def _made(
        self, value: float, method: str, names, hypotheses, random: bool = False
    ) -> DistanceBound:
        sure = RANDOM_CONFIDENCE if random else 1.0
        return DistanceBound(value, "", self.width, method, names, hypotheses, sure)


def _obstacle(net: MLP, constant: MLP) -> str:
    """Why there is no Gaussian limit to compare with; empty if there is."""
    L = net.depth
    if net.bias_scaling == "fan_in" and any(net.has_bias(l) for l in range(1, L + 1)):
        return (
            "bias_scaling='fan_in': the biases shrink with the width, so the network has another "
            "covariance than its limit; take constant biases or none"
        )
    if constant.has_bias(L) and not isinstance(constant.bias_law[L], Gaussian):
        return f"the output bias has the law {constant.bias_law[L].name}: the limit is not Gaussian"
    return ""


def _without_moments(net: MLP, count: int) -> str:
    try:
        require_moments(net, 0, count)
    except ValueError as error:
        return str(error)
    return ""


def distance_bound(
    net: MLP,
    x: ArrayLike,
    width: float,
    metric: BoundMetric = "wasserstein2",
    *,
    direction: ArrayLike | None = None,
) -> DistanceBound:
    """A certified upper bound of the distance of the outputs at width n from their limit N(0, K).

    The smallest of all theorems that apply: 1 (Stein kernel, any readout law with a density), 2 (a
    recursion, any depth), 3 (Gaussian readout, of order 1/n), and for laws with atoms the kernel of
    a·φ(z) or Goldstein's bound in projections.

    Args:
        net: the architecture.
        x: data (points, inputs).
        width: n.
        metric: ``"wasserstein2"``, ``"wasserstein1"``, ``"bounded_lipschitz"``,
            ``"sliced_wasserstein1"``, ``"sliced_wasserstein2"`` or ``"max_sliced_wasserstein1"``.
        direction: one number per point: the bound is then of direction · outputs of one component.
            By default it is of the joint law of all points and outputs.

    Returns:
        :class:`DistanceBound`; ``print`` it for its hypotheses and constants. Where no theorem
        applies its value is infinite, its method ``"not available"``, and it says why.

    Raises:
        ValueError: for a metric no theorem bounds, or arguments that do not fit.

    Source:
        The theorems stand in :mod:`widthwise.measure.bounds`, each in its file with its source.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> from widthwise.measure.bounds import distance_bound
        >>> b = distance_bound(ww.MLP(1, "tanh"), [[1.0]], width=1024)
        >>> b.method, b.value < 0.01
        ('Theorem 3 (Gaussian readout, order 1/n)', True)
    """
    checks.require_x64()
    require_network(net)
    data, n = np.asarray(checks.points(x)), checks.width(width)
    require_metric(metric)
    if direction is None:
        return InitialBounds(net, data, n).bound(np.eye(len(data)), metric, net.outputs)
    return InitialBounds(net, data, n).bound(one_row(direction, len(data)), metric)


def one_row(direction: ArrayLike, points: int) -> Float[np.ndarray, "1 points"]:
    """A direction as a matrix of one row.

    Raises:
        ValueError: for another shape, or 0.
    """
    v = checks.numbers(direction, "direction")
    if v.shape != (points,) or not v.any():
        raise ValueError(
            f"direction must hold one number per point, not all 0: shape ({points},), got {v.shape}"
        )
    return v[None]
