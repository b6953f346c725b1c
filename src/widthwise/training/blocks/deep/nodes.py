r"""Nodes for the means of three and four factors at one layer, all inputs together.

In the eigenbasis of the covariance, direction k moves the preactivations by s_k = max_a |A_ak|:

* **tensor rule**, if it is not too large: the trapezoid rule with step min(0.85, 0.55/s_k) / f in
  the strong directions, Gauss–Hermite rules of 20 down to 1 node in the weak ones. Products with
  φ''' are the stiffest; the error falls like e^{−c f}, and two refinements f tell it;
* **randomized Sobol points** along the same axes beyond; the spread of the copies tells the error,
  for which φ(z) needs eight moments (:mod:`widthwise.training.blocks.conditions`).

The first layer keeps its own law if its weights or biases are not Gaussian (product rules over the
sources, or Sobol points), and a hidden bias that is not Gaussian is one more direction.
"""

from collections.abc import Iterator
from math import factorial, prod
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy.stats import qmc

from widthwise.algebra.gaussian import Rule
from widthwise.algebra.taylor import taylor_coefficients
from widthwise.limit.first_layer import rules
from widthwise.limit.first_layer.projection import Projection
from widthwise.limit.first_layer.sobol import quantile
from widthwise.model.activations import Activation
from widthwise.model.laws import Gaussian, Law

REPLICATES = 4
_REFINEMENTS = (1.0, 1.4, 1.8, 2.2)
_REACH = 5.8
_GAUSS_HERMITE = (
    (0.15, (7, 10, 14, 20)),
    (0.05, (5, 6, 8, 11)),
    (0.02, (3, 4, 5, 6)),
    (3e-3, (2, 3, 3, 4)),
    (1e-5, (1, 2, 2, 2)),
)
"""Strengths, and nodes for every refinement above them."""
_STRONG = 0.35
_DROPPED = 1e-13
_DOUBLE = 1.5  # random points are multiplied in float32, at half the cost of a rule's nodes


class Rules(NamedTuple):
    """Rules for one layer: ever finer ones, or equally good random copies.

    Args:
        rules: nodes and weights, lazily.
        random: whether they are copies, to be averaged.
    """

    rules: Iterator[Rule]
    random: bool


def derivatives(
    activation: Activation, z: Float[np.ndarray, " n"], degree: int
) -> Float[np.ndarray, "orders n"]:
    """φ, φ', … φ^(degree) at every entry of z."""
    scale = np.array([float(factorial(k)) for k in range(degree + 1)])
    return taylor_coefficients(activation.function, z, degree) * scale[:, None]


def principal(covariance: Float[np.ndarray, "p p"]) -> Float[np.ndarray, "p rank"]:
    """A with A Aᵀ = covariance, orthogonal columns, the strongest first."""
    variances, axes = np.linalg.eigh(covariance)
    kept = variances[::-1] > _DROPPED * max(variances[-1], 0.0)
    return (axes[:, ::-1] * np.sqrt(np.maximum(variances[::-1], 0.0)))[:, kept]


def gaussian_rules(
    covariance: Float[np.ndarray, "p p"],
    bias: tuple[float, Law] | None,
    most: int,
    key: jax.Array,
) -> Rules:
    """Rules for N(0, covariance), plus scale · b with the same b of a law for all inputs.

    Args:
        covariance: without that bias.
        bias: its scale and law, if it is not Gaussian.
        most: about how many random points there are in all; a tensor rule may cost as much.
        key: of the random points.
    """
    A = principal(covariance)
    laws: tuple[Law, ...] = (Gaussian(),) * A.shape[1]
    if bias is not None:
        A = np.concatenate([A, np.full((len(A), 1), bias[0])], 1)
        laws = (*laws, bias[1])
    lines = [
        [_line(law, float(np.abs(column).max()), f) for law, column in zip(laws, A.T, strict=True)]
        for f in _REFINEMENTS
    ]
    sizes = [0.5 * prod(len(w) for _, w in line) for line in lines]
    for fine in range(len(lines) - 1, 0, -1):
        if _DOUBLE * (sizes[fine] + sizes[fine - 1]) <= most:
            return Rules((_tensor(line, A) for line in lines[fine - 1 : fine + 1]), False)
    return Rules(_random(A, laws, most, key), True)


def projection_rules(projection: Projection, most: int, key: jax.Array) -> Rules:
    """Rules for a first layer that is not Gaussian, as :func:`gaussian_rules`."""
    A, laws = projection.coefficients, projection.laws
    if projection.atoms <= most and projection.continuous <= 5:
        found = [rule for rule in rules.product_rules(projection) if len(rule.weights) <= most]
        if len(found) > 1 or not projection.continuous:
            return Rules((Rule(rule.nodes @ A.T, rule.weights) for rule in found[-2:]), False)
    return Rules(_random(A, laws, most, key), True)


def _line(law: Law, strength: float, refinement: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights in one direction."""
    if not isinstance(law, Gaussian):
        return law.quadrature(int(14 * refinement * max(1.0, strength)))
    if strength <= _STRONG:
        counts = next((counts for least, counts in _GAUSS_HERMITE if strength > least), (1,) * 4)
        count = counts[_REFINEMENTS.index(refinement)]
        nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    else:
        step = min(0.85, 0.55 / strength) / refinement
        reach = int((_REACH + refinement) / step)  # truncation too must show in the error
        nodes = np.arange(-reach, reach + 1) * step
        weights = np.exp(-nodes * nodes / 2)
    return nodes, weights / weights.sum()


def _tensor(lines: list[tuple[np.ndarray, np.ndarray]], A: np.ndarray) -> Rule:
    nodes, weights = np.zeros((1, 0)), np.ones(1)
    for u, w in lines:
        weights = np.outer(weights, w).ravel()
        kept = weights > 1e-18
        nodes = np.concatenate([np.repeat(nodes, len(u), 0), np.tile(u, len(nodes))[:, None]], 1)
        nodes, weights = nodes[kept], weights[kept]
    return Rule(nodes @ A.T, weights / weights.sum())


def _random(A: np.ndarray, laws: tuple[Law, ...], most: int, key: jax.Array) -> Iterator[Rule]:
    count = 1 << max(8, round(np.log2(most / REPLICATES)))
    transforms = [quantile(law) for law in laws]
    entropy = np.asarray(jax.random.key_data(key)).ravel().tolist()
    for seed in np.random.SeedSequence(entropy).spawn(REPLICATES):
        engine = qmc.Sobol(A.shape[1], rng=np.random.default_rng(seed))
        u = np.clip(engine.random(count), 1e-15, 1 - 1e-15)
        for j, transform in enumerate(transforms):
            u[:, j] = transform(u[:, j])
        yield Rule(u @ A.T, np.full(count, 1 / count))
