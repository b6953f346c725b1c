r"""Averages over the neurons of one hidden layer, for all inputs together.

At n = ∞ the preactivations z of one neuron are a projection of independent numbers, z = A s (see
:mod:`widthwise.limit.first_layer.projection`): Gaussian ones and a bias that need not be Gaussian
above the first layer, the weights and the bias in it. What is averaged are functions of all
h_a = φ(z_a), by

* **rules** of :mod:`widthwise.algebra.gaussian` and :mod:`widthwise.limit.first_layer.rules` in up
  to four dimensions, refined until two levels agree; their difference is the error;
* **randomized Sobol points** beyond, along the principal axes of z; the standard error over 16
  independently scrambled copies is the error.

The same points serve all inputs, so a matrix of second moments stays positive.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import jax
import numpy as np
from scipy.stats import qmc

from widthwise.algebra import gaussian
from widthwise.algebra.gaussian import Estimate, Rule
from widthwise.limit.first_layer import rules, sobol
from widthwise.limit.first_layer.projection import Projection, evaluate
from widthwise.model.activations import Activation
from widthwise.model.laws import Gaussian, Law

COPIES = 16
_AIM = 1e-12
_RULE_IS_BETTER = 1e-6
_MOST_WORK = 2e11
_MOST_NUMBERS = 6e7
_NUMBERS_AT_ONCE = 1 << 21
_BIAS_NODES = (12, 20, 32, 52, 84)

Total = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Maps weights (nodes,) and h (nodes, points) to Σ_i weights_i f(h_i)."""


@dataclass(frozen=True)
class Sampling:
    """How many random points to take where no rule will do, and the key that draws them."""

    samples: int
    key: jax.Array


@dataclass(frozen=True, eq=False)
class Neurons:
    """One layer's neurons: h = φ(z), z = ``projection``."""

    activation: Activation
    projection: Projection

    @classmethod
    def gaussian(
        cls, activation: Activation, covariance: np.ndarray, bias: tuple[float, Law] | None
    ) -> "Neurons":
        """The law N(0, covariance), plus scale · b with the same b of a law for all inputs."""
        variances, axes = np.linalg.eigh(covariance)
        kept = variances[::-1] > 1e-15 * max(variances[-1], 0.0)
        A = (axes[:, ::-1] * np.sqrt(np.maximum(variances[::-1], 0.0)))[:, kept]
        laws: tuple[Law, ...] = (Gaussian(),) * A.shape[1]
        if bias is not None:
            A = np.concatenate([A, np.full((len(A), 1), bias[0])], 1)
            laws = (*laws, bias[1])
        return cls(activation, Projection(A, laws))

    def mean(self, total: Total, work: float, sampling: Sampling) -> Estimate:
        """E f(h) and its error, entry by entry.

        Args:
            total: the weighted sum of f over some nodes.
            work: multiplications that it takes per node.
            sampling: what to do in five dimensions and more.
        """
        copies, spread = self.copies(total, work, sampling)
        return Estimate(copies.mean(0), spread + _standard_error(copies))

    def copies(
        self,
        total: Total,
        work: float,
        sampling: Sampling,
        *,
        aim: float = _AIM,
        most_work: float = _MOST_WORK,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Independent estimates of E f(h) on a leading axis, and an error that all of them share.

        One estimate if it comes from a rule, 16 without any shared error if they are random. A rule
        is refined until its error is ``aim`` times the largest entry, or one finer would take more
        than ``most_work`` multiplications.
        """
        found = self._by_rules(total, work, aim, most_work)
        if found is not None and _relative(*found) <= _RULE_IS_BETTER:
            return found.value[None], found.error
        random = self._by_random_points(total, sampling)
        if found is None or _relative(random.mean(0), _standard_error(random)) < _relative(*found):
            return random, np.zeros(random.shape[1:])
        return found.value[None], found.error

    def _by_rules(self, total: Total, work: float, aim: float, most_work: float) -> Estimate | None:
        before, estimate, last = None, None, np.inf
        power = 1.0 if self.activation.kinks else 1.5
        most = min(most_work / work, _MOST_NUMBERS / len(self.projection.coefficients))
        for rule in self._rules():
            if len(rule.weights) > most:
                break
            value = sum(total(w, h) for w, h in self._blocks(rule.nodes, rule.weights))
            value = np.asarray(value)
            if self._finite:
                return Estimate(value, 1e-15 * np.abs(value))
            if before is not None:
                difference = np.abs(value - before)
                gap = difference.max() / max(np.abs(value).max(), 1e-300)
                left = float(gaussian.remaining(np.asarray(gap), last, power))
                share = left / gap if gap else 0.0
                estimate = Estimate(value, share * difference + 1e-15 * np.abs(value))
                if left <= aim:
                    break
                last = gap
            before = value
        return estimate

    @property
    def _finite(self) -> bool:
        """Whether one rule is an exact sum."""
        return all(law.discrete for law in self.projection.laws)

    def _rules(self) -> Iterator[Rule]:
        """Ever finer nodes z and weights; none in too many dimensions."""
        A, laws = self.projection.coefficients, self.projection.laws
        kinks = self.activation.kinks
        normal = np.array([isinstance(law, Gaussian) for law in laws], dtype=bool)
        C = A[:, normal]
        if normal.sum() > 4 and gaussian.factor(C @ C.T).shape[1] > 4:
            return
        if normal.all():
            yield from gaussian.rules(C @ C.T, kinks)
        elif (~normal).sum() == 1 and np.ptp(A[:, ~normal]) == 0 and len(laws) > 1:
            scale, law = float(A[0, ~normal][0]), laws[int(np.flatnonzero(~normal)[0])]
            for level, count in enumerate(_BIAS_NODES):
                parts = []
                for b, weight in zip(*law.quadrature(count), strict=True):
                    moved = tuple(float(kink - scale * b) for kink in kinks)
                    rule = next(islice(gaussian.rules(C @ C.T, moved), level, None), None)
                    if rule is None:
                        return
                    parts.append(Rule(rule.nodes + scale * b, rule.weights * weight))
                yield Rule(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        elif self.projection.atoms <= rules.MOST_ATOMS:
            few = self.projection.continuous <= (3 if kinks else 5)
            smooth = not kinks or self._finite
            if few:
                chosen = (
                    rules.product_rules(self.projection)
                    if smooth
                    else rules.panel_rules(self.projection, kinks)
                )
                for rule in chosen:
                    yield Rule(rule.nodes @ A.T, rule.weights)

    def _by_random_points(self, total: Total, sampling: Sampling) -> np.ndarray:
        A = self.projection.coefficients
        transforms = [sobol.quantile(law) for law in self.projection.laws]
        count = 1 << max(8, round(np.log2(sampling.samples / COPIES)))
        block = min(count, 1 << int(np.log2(_NUMBERS_AT_ONCE / sum(A.shape))))
        entropy = np.asarray(jax.random.key_data(sampling.key)).ravel().tolist()
        sums = []
        for seed in np.random.SeedSequence(entropy).spawn(COPIES):
            engine = qmc.Sobol(A.shape[1], rng=np.random.default_rng(seed))
            value = 0.0
            for _ in range(count // block):
                u = np.clip(engine.random(block), 1e-15, 1 - 1e-15)
                for j, transform in enumerate(transforms):
                    u[:, j] = transform(u[:, j])
                h = evaluate(self.activation, u @ A.T)
                value = value + total(np.full(block, 1 / count), h)
            sums.append(value)
        return np.array(sums)

    def _blocks(self, z: np.ndarray, weights: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
        step = max(1, _NUMBERS_AT_ONCE // z.shape[1])
        for start in range(0, len(z), step):
            part = slice(start, start + step)
            yield weights[part], evaluate(self.activation, z[part])


def _standard_error(copies: np.ndarray) -> np.ndarray:
    if len(copies) == 1:
        return np.zeros(copies.shape[1:])
    return copies.std(0, ddof=1) / np.sqrt(len(copies))


def _relative(value: np.ndarray, error: np.ndarray) -> float:
    return float(np.max(error) / max(np.max(np.abs(value)), 1e-300))
