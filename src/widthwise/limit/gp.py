"""The infinitely wide network as a Gaussian process: prior, exact Bayesian and trained predictions.

At initialization the outputs are N(0, K), K the NNGP kernel, each component an independent copy.
With train points X, any points *, labels y and noise variance s², two predictions follow:

    "nngp" (Bayesian, only the last layer's law conditioned):   A = K_{*X}(K_XX + s²)⁻¹,
    "ntk" (all layers trained by gradient flow, t → ∞):          A = Θ_{*X}(Θ_XX + s²)⁻¹,

    mean A y,      covariance K_** − A K_X* − K_*X Aᵀ + A (K_XX + s²) Aᵀ,                        (1)

which for "nngp" is the posterior K_** − K_*X(K_XX + s²)⁻¹K_X*, and for "ntk" and s = 0 the law of
an ensemble of trained networks over initializations. With noise, "ntk" is the ensemble whose loss
is ½Σ(f + ηs − y)² + ½s²|θ − θ₀|² with fresh label noise η ~ N(0, 1) of every member. Lee et al.,
ICLR 2018 (NNGP); Lee et al., NeurIPS 2019, eq. (14)-(16); He, Lakshminarayanan and Teh, NeurIPS
2020 (NTK); Williams and Rasmussen 2006, Algorithm 2.1.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_solve, cholesky

from widthwise import _checks as checks
from widthwise._vocabulary import Array, ArrayLike
from widthwise.limit.kernels import limit_kernels
from widthwise.limit.traced import needed
from widthwise.model.architecture import MLP

Inference: TypeAlias = Literal["nngp", "ntk"]


class SingularKernelError(ValueError):
    """A kernel matrix has no Cholesky factor to rounding."""


@dataclass(frozen=True, eq=False)
class LimitGP:
    """The Gaussian process of an infinitely wide network, conditioned on data; points train first.

    Args:
        nngp: K between all points (points, points).
        ntk: Θ between all points and the train points (points, train).
        y: labels (train, outputs).
        noise: standard deviation s of the labels' noise.
        jitter: added to the diagonal of K and Θ on the train points, relative to its mean.
        kernel_error: largest estimated error of an entry of the two kernels.
    """

    nngp: Float[np.ndarray, "points points"]
    ntk: Float[np.ndarray, "points train"]
    y: Float[np.ndarray, "train outputs"]
    noise: float
    jitter: float
    kernel_error: float

    def prior(self, key: jax.Array, draws: int) -> Float[jax.Array, "draws points outputs"]:
        """Draws of the outputs of untrained networks (draws, points, outputs)."""
        return _normal(key, draws, np.zeros((len(self.nngp), self.y.shape[1])), self.nngp)

    def mean(self, inference: Inference = "nngp") -> Float[np.ndarray, "points outputs"]:
        """A y of (1), the prediction (points, outputs)."""
        return self._gain(inference) @ self.y

    def covariance(self, inference: Inference = "nngp") -> Float[np.ndarray, "points points"]:
        """The covariance of (1) of one output component, without noise on the predictions."""
        A, m = self._gain(inference), len(self.y)
        cross = A @ self.nngp[:m]
        train = self._regularized(self.nngp[:m, :m], self.noise)
        covariance = self.nngp - cross - cross.T + A @ train @ A.T
        return (covariance + covariance.T) / 2

    def posterior(
        self, key: jax.Array, draws: int, inference: Inference = "nngp"
    ) -> Float[jax.Array, "draws points outputs"]:
        """Draws of the predictions (draws, points, outputs), components independent."""
        return _normal(key, draws, self.mean(inference), self.covariance(inference))

    @property
    def log_marginal_likelihood(self) -> float:
        """Log density of y under N(0, K_XX + s²), summed over output components."""
        m = len(self.y)
        factor = self._factor("nngp")
        fit = float(np.sum(self.y * cho_solve((factor, True), self.y)))
        outputs = self.y.shape[1]
        half = outputs * (np.log(np.diag(factor)).sum() + m / 2 * np.log(2 * np.pi))
        return -fit / 2 - float(half)

    def _gain(self, inference: Inference) -> np.ndarray:
        kernel = self._kernel(inference)
        return cho_solve((self._factor(inference), True), kernel.T).T

    def _kernel(self, inference: Inference) -> np.ndarray:
        if inference not in ("nngp", "ntk"):
            raise ValueError(f"inference must be 'nngp' or 'ntk', got {inference!r}")
        return self.ntk if inference == "ntk" else self.nngp[:, : len(self.y)]

    def _regularized(self, train: np.ndarray, noise: float) -> np.ndarray:
        extra = noise**2 + self.jitter * np.trace(train) / len(train)
        return train + extra * np.eye(len(train))

    def _factor(self, inference: Inference) -> np.ndarray:
        return self._ntk_factor if inference == "ntk" else self._nngp_factor

    @cached_property
    def _nngp_factor(self) -> np.ndarray:
        return self._factored("nngp")

    @cached_property
    def _ntk_factor(self) -> np.ndarray:
        return self._factored("ntk")

    def _factored(self, inference: Inference) -> np.ndarray:
        train = self._kernel(inference)[: len(self.y)]
        matrix = self._regularized((train + train.T) / 2, self.noise)
        return _cholesky(matrix, inference, self.kernel_error)


def _cholesky(matrix: np.ndarray, name: str, kernel_error: float) -> np.ndarray:
    """The lower factor; refused where the least eigenvalue is rounding or kernel error."""
    m = len(matrix)
    floor = m * max(np.finfo(float).eps * np.diag(matrix).max(), kernel_error)
    least = np.linalg.eigvalsh(matrix)[0] if m <= 2000 else np.inf
    factor = np.zeros_like(matrix)
    try:
        factor = cholesky(matrix, lower=True)
        least = min(least, np.diag(factor).min() ** 2)
    except np.linalg.LinAlgError:
        least = min(least, 0.0)
    if least <= floor:
        raise SingularKernelError(
            f"the {name} kernel on the {m} train points is singular: its least eigenvalue, "
            f"{least:.1e}, is not above {floor:.1e}, what rounding and the kernel's error amount "
            "to; merge equal inputs, give noise (a standard deviation), or a jitter such as 1e-10"
        )
    return factor


def _normal(key: jax.Array, draws: int, mean: np.ndarray, covariance: np.ndarray) -> jax.Array:
    """Draws of N(mean, covariance), columns independent; negative eigenvalues are rounding."""
    checks.key(key)
    checks.positive_integer(draws, "draws")
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = jax.random.normal(key, (draws, *mean.shape))
    return jnp.asarray(mean) + jnp.asarray(root) @ normal


def limit_gp(
    net: MLP,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None = None,
    *,
    noise: float | Array = 0.0,
    jitter: float | Array = 0.0,
    tolerance: float | None = None,
) -> LimitGP:
    """The Gaussian process of the infinitely wide network, conditioned on data.

    Args:
        net: the architecture.
        x_train: train points (train, inputs).
        y_train: labels (train, outputs), or (train,) for one output.
        x_test: test points (test, inputs), or ``None``.
        noise: standard deviation of the labels' noise.
        jitter: added to the train kernels' diagonal, relative to its mean.
        tolerance: as in :func:`limit_kernels`.

    Returns:
        :class:`LimitGP`: predictions by ``mean``, ``covariance`` and ``posterior``, for exact
        Bayesian inference (``"nngp"``) or training to t = ∞ (``"ntk"``); ``prior`` draws.

    Raises:
        ValueError: for shapes that do not match, non-finite numbers, or negative noise; when a
            prediction is asked for and its kernel is singular.

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> net = ww.MLP(depth=2, activation="erf", weight_std=1.5, bias_std=0.3)
        >>> gp = ww.limit_gp(net, [[1.0], [-1.0]], [1.0, 0.0], [[0.5]], noise=0.1)
        >>> gp.posterior(jax.random.key(0), draws=7).shape
        (7, 3, 1)
    """
    checks.require_x64()
    noise = checks.nonnegative(noise, "noise")
    jitter = checks.nonnegative(jitter, "jitter")
    x_train = checks.points(x_train, "x_train")
    y = checks.targets(y_train, len(x_train), net.outputs, "y_train")
    everything = x_train
    if x_test is not None:
        x_test = checks.points(x_test, "x_test")
        checks.same_inputs(x_train, x_test, "x_train", "x_test")
        everything = np.concatenate([x_train, x_test])
    k = limit_kernels(net, everything, tolerance=tolerance)
    ntk = np.asarray(k.ntk)[:, : len(y)]
    return LimitGP(np.asarray(k.nngp), ntk, y, noise, jitter, float(np.max(k.error)))


def log_marginal_likelihood(
    net: MLP,
    x: ArrayLike,
    y: ArrayLike,
    *,
    noise: float | Array,
    tolerance: float | None = None,
) -> float | jax.Array:
    """Log density of labels under the Gaussian process of an infinitely wide network,

        −½ Σ_i y_iᵀ(K + s²)⁻¹y_i − (outputs/2)(log det(K + s²) + m log 2π),

    differentiable under JAX in ``weight_std``, ``bias_std``, ``x``, ``y`` and ``noise``.

    Args:
        net: the architecture.
        x: train points (points, inputs).
        y: labels (points, outputs), or (points,) for one output.
        noise: standard deviation s of the labels' noise.
        tolerance: as in :func:`limit_kernels`.

    Returns:
        The number; under differentiation, NaN where K + s² has no Cholesky factor.

    Raises:
        ValueError: for shapes that do not match, or a singular kernel (see :func:`limit_gp`).

    Source:
        Rasmussen and Williams 2006, eq. (2.30).

    Example:
        >>> import jax; jax.config.update("jax_enable_x64", True)
        >>> import widthwise as ww
        >>> fit = lambda w: ww.log_marginal_likelihood(
        ...     ww.MLP(1, "erf", w, 0.1), [[1.0], [-1.0]], [1.0, -1.0], noise=0.1)
        >>> bool(jax.grad(fit)(1.0) > 0)
        True
    """
    if not needed(net, x, y, noise):
        return limit_gp(net, x, y, noise=noise, tolerance=tolerance).log_marginal_likelihood
    K = jnp.asarray(limit_kernels(net, x, tolerance=tolerance).nngp)
    m = len(K)
    y = _labels(y, m, net.outputs)
    noise = noise if needed(noise) else checks.nonnegative(noise, "noise")
    factor = jnp.linalg.cholesky(K + noise**2 * jnp.eye(m))
    white = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
    half = jnp.log(jnp.diag(factor)).sum() + m / 2 * jnp.log(2 * jnp.pi)
    return -jnp.sum(white**2) / 2 - net.outputs * half


def _labels(y: ArrayLike, count: int, outputs: int) -> jax.Array:
    """Labels (points, outputs), traced or not."""
    if not needed(y):
        return jnp.asarray(checks.targets(y, count, outputs))
    y = jnp.asarray(y, float)
    y = y[:, None] if y.ndim == 1 and outputs == 1 else y
    if y.shape != (count, outputs):
        raise ValueError(f"y must have shape ({count}, {outputs}), got shape {y.shape}")
    return y
