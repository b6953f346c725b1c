"""Random draws: Gaussian ones with signed weights, or Gaussian scale mixtures with none.

**Signed.** With Z = Lu, u standard normal, w(u) = Σ_α c_α He_α(u) is the ratio of the truncated
density to the Gaussian one: E[w f(Z)] is the truncated series of E f, w may be negative, E w = 1.

**Mixture.** Gaussian readout weights make the outputs Gaussian given the hidden layers. One
projection has Z | S ~ N(0, S), and log E e^{tZ} = log E e^{t²S/2} gives

    κ_r(S) = 2^r r!/(2r)! κ_{2r}(Z):        E S = κ_2,  Var S = κ_4/3,  κ_3(S) = κ_6/15.

S is drawn as a shifted gamma variable with these three, or where that would need a negative shift
as a gamma variable with the first two. Several outputs have the random kernel K over the points:
for one point a gamma variable as above, else Gaussian draws with the mean and covariance of the
K_ab, made positive semi-definite by setting negative eigenvalues to 0.

An output bias that is not Gaussian is drawn from its law and added.
"""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from widthwise.algebra.gaussian import Estimate
from widthwise.initial.edgeworth.bias import OutputBias
from widthwise.initial.edgeworth.expansion import Expansion, hermite_sum
from widthwise.initial.edgeworth.readout import Readout

Method: TypeAlias = Literal["signed", "mixture"]


@dataclass(frozen=True, eq=False)
class Draws:
    """Weighted draws of a law.

    Args:
        samples: (count,) of one projection, (count, k) of a joint law.
        weights: one per draw, of mean 1 up to chance; negative ones are possible.
        matched: what the draws have in common with the law, in words.
    """

    samples: Float[np.ndarray, "count *k"]
    weights: Float[np.ndarray, " count"]
    matched: str

    @property
    def effective_sample_size(self) -> float:
        """(Σ w)² / Σ w², the number of unweighted draws worth as much."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())

    def mean(self, values: Float[np.ndarray, " count"]) -> Estimate:
        """The weighted mean of f(samples) = values, and its standard error.

        Example:
            >>> import numpy as np
            >>> from widthwise.initial.edgeworth import Draws
            >>> Draws(np.array([1.0, 3.0]), np.ones(2), "").mean(np.array([1.0, 3.0])).value.item()
            2.0
        """
        values = np.asarray(values, dtype=float)
        if values.shape != self.weights.shape:
            raise ValueError(
                f"values must hold one number per draw, shape {self.weights.shape}, got shape "
                f"{values.shape}"
            )
        weighted = self.weights * values
        error = weighted.std(ddof=1) / np.sqrt(len(weighted)) if len(weighted) > 1 else np.inf
        return Estimate(np.asarray(weighted.mean()), np.asarray(error))


def method(name: str) -> str:
    """``"signed"`` or ``"mixture"``."""
    if name not in ("signed", "mixture"):
        raise ValueError(f"method must be 'signed' or 'mixture', got {name!r}")
    return name


def signed(
    key: PRNGKeyArray,
    factor: Float[np.ndarray, "dimension dimension"],
    expanded: Expansion,
    width: float,
    order: int,
    count: int,
) -> Draws:
    """Draws of N(0, LLᵀ) weighted with the truncated series."""
    u = np.asarray(jax.random.normal(key, (count, len(factor))), dtype=float)
    weights = hermite_sum(u, expanded.indices, expanded.at(width, order)[:, None])[:, 0]
    return Draws(u @ factor.T, weights, f"every expectation of the series to order {order}")


def moved(drawn: Draws, key: PRNGKeyArray, bias: OutputBias | None) -> Draws:
    """The draws with an independent output bias added."""
    if bias is None:
        return drawn
    added = bias.sample(jax.random.fold_in(key, len(drawn.weights)), len(drawn.weights))
    return replace(drawn, samples=drawn.samples + added)


def require_gaussian(readout: Readout | None) -> Readout:
    """Raise unless the outputs are known to be Gaussian given the hidden layers."""
    if readout is None:
        raise ValueError(
            "a scale mixture needs to know the network: make the law with edgeworth(cumulants, …), "
            "or use method='signed'"
        )
    if not readout.conditionally_gaussian:
        net = readout.net
        raise ValueError(
            f"a scale mixture needs Gaussian readout weights, so that outputs are Gaussian given "
            f"the hidden layers; here the last layer has the weight law "
            f"{net.weight_law[net.depth].name}; use method='signed'"
        )
    return readout


def scale_mixture(
    key: PRNGKeyArray, cumulants: Float[np.ndarray, " orders"], count: int, order: int
) -> Draws:
    """Z | S ~ N(0, S), S with the cumulants that those of Z say."""
    scale_key, normal_key = jax.random.split(key)
    S, matched = _scales(scale_key, cumulants, count, order)
    z = np.sqrt(S) * np.asarray(jax.random.normal(normal_key, (count,)), dtype=float)
    return Draws(z[:, None], np.ones(count), matched)


def _scales(key, cumulants, count: int, order: int) -> tuple[np.ndarray, str]:
    """Draws of the conditional variance S from κ_2, κ_4, κ_6 of Z, and what they match."""
    mean = float(cumulants[2])
    variance = float(cumulants[4]) / 3 if len(cumulants) > 4 else 0.0
    third = float(cumulants[6]) / 15 if len(cumulants) > 6 else 0.0
    if mean <= 0 or variance < 0 or (variance == 0 and order >= 2):
        raise ValueError(
            f"to order {order} the conditional variance has mean {mean:.3g} and variance "
            f"{variance:.3g}: no positive law has them; take another order or a larger width"
        )
    if variance == 0:
        return np.full(count, mean), "mean of the conditional variance (it is constant)"
    scale = third / (2 * variance)
    shift = mean - variance / scale if scale > 0 else -1.0
    matched = "mean, variance and third cumulant of the conditional variance"
    if -1e-9 * mean < shift < 0:  # rounding
        shift = 0.0
    if shift < 0:
        scale, shift = variance / mean, 0.0
        matched = "mean and variance of the conditional variance"
    gamma = jax.random.gamma(key, variance / scale**2, (count,))
    return shift + scale * np.asarray(gamma, dtype=float), matched


def kernel_mixture(
    key: PRNGKeyArray, readout: Readout, cumulants, width: float, order: int, count: int
) -> Draws:
    """Outputs Gaussian given random kernels over the points, seen through the readout's matrix.

    Args:
        key: a JAX random key.
        readout: the outputs.
        cumulants: κ_r of the output at the point, if there is only one.
        width: n.
        order: the last order of the series.
        count: how many.
    """
    kernel_key, normal_key = jax.random.split(key)
    rows = sorted(set(readout.rows))
    if len(rows) == 1:
        S, matched = _scales(kernel_key, cumulants, count, order)
        roots = np.sqrt(S)[:, None, None]
    else:
        roots, matched = _kernel_roots(kernel_key, readout, width, order, count)
    parts = sorted(set(readout.components))
    shape = (count, len(rows), len(parts))
    normal = np.asarray(jax.random.normal(normal_key, shape), dtype=float)
    f = np.matmul(roots, normal)
    place = [rows.index(row) for row in readout.rows]
    part = [parts.index(component) for component in readout.components]
    return Draws(f[:, place, part] @ readout.matrix.T, np.ones(count), matched)


def _kernel_roots(key, readout: Readout, width: float, order: int, count: int):
    """Square roots of Gaussian draws of the kernel, made positive semi-definite."""
    rows, mean, covariance = readout.kernel_moments(width, order)
    value, vector = np.linalg.eigh(covariance)
    if value.min() < -0.05 * np.abs(value).max():
        raise ValueError(
            f"to order {order} at width {width:g} the covariance of the kernel has the negative "
            f"eigenvalue {value.min():.2g} (largest {value.max():.2g}); take another order or a "
            "larger width"
        )
    root = vector * np.sqrt(np.maximum(value, 0.0))
    entries = mean + np.asarray(jax.random.normal(key, (count, len(mean))), dtype=float) @ root.T
    K = np.zeros((count, len(rows), len(rows)))
    a, b = np.triu_indices(len(rows))
    K[:, a, b] = K[:, b, a] = entries
    eigenvalues, eigenvectors = np.linalg.eigh(K)
    clipped = float((eigenvalues < 0).any(1).mean())
    roots = eigenvectors * np.sqrt(np.maximum(eigenvalues, 0.0))[:, None, :]
    matched = "mean and covariance of the random kernel"
    if clipped:
        matched += f", before {clipped:.2%} of the kernels were made positive semi-definite"
    return roots, matched
