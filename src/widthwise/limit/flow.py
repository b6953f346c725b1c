"""The linear flow: training at infinite width, and the time-dependent Gaussian process it carries.

Gradient flow of ½ Σ (f(x_a) − y_a)² with the constant kernel Θ is linear in f₀. With Θ_XX = QΛQᵀ
and r₀ = f₀(X) − y,

    train:  f_t − y = Q e^{−tΛ} Qᵀ r₀,
    test:   f*_t = f*_0 + Θ_{*X} Q e_t[0, Λ] Qᵀ r₀,     e_t[0, λ] = (e^{−tλ} − 1)/λ,

so f_t = A_t f₀ + c_t. If f₀ ~ GP(0, K), the NNGP, then f_t ~ GP(c_t, A_t K A_tᵀ): the initial
process precomposed with the flow (Jacot et al., 2018; Lee et al., NeurIPS 2019; Carvalho et al.,
arXiv:2304.03385). Gradient descent with step η replaces e^{−tλ} by (1 − ηλ)^k.

No inverse of Θ is taken. An eigenvalue that is zero to rounding is a direction in function space
that training leaves alone: on train points it stays, and on test points Θ_{*X} Q vanishes with it.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import Array, ArrayLike
from widthwise.limit.kernels import limit_kernels
from widthwise.model.architecture import MLP


@dataclass(frozen=True, eq=False)
class LinearFlow:
    """Training at infinite width on train and test points (train first).

    Args:
        nngp: covariance K of the initial outputs, (points, points).
        ntk: Θ between all points and the train points, (points, train).
        y: labels (train, outputs).
        kernel_error: largest estimated error of an entry of the two kernels.

    Wherever a time is taken, give either ``t`` (gradient flow; a number or a list, ``inf`` allowed)
    or ``steps`` and ``step`` (gradient descent: number of steps k, a number or a list, and η).
    """

    nngp: Float[np.ndarray, "points points"]
    ntk: Float[np.ndarray, "points train"]
    y: Float[np.ndarray, "train outputs"]
    kernel_error: float = 0.0

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        train = self.ntk[: len(self.y)]
        values, vectors = np.linalg.eigh((train + train.T) / 2)
        floor = 8 * np.finfo(float).eps * len(values) * max(values[-1], 0.0)
        return np.where(values > floor, values, 0.0), vectors

    @property
    def eigenvalues(self) -> Float[np.ndarray, " train"]:
        """Eigenvalues of Θ on the train points, increasing; those zero to rounding are 0."""
        return self._spectrum[0]

    @property
    def largest_stable_step(self) -> float:
        """2/λ_max: gradient descent diverges at larger steps."""
        return 2 / self.eigenvalues[-1] if self.eigenvalues[-1] > 0 else np.inf

    def propagator(
        self,
        t: ArrayLike | None = None,
        *,
        steps: ArrayLike | None = None,
        step: float | None = None,
    ) -> Float[np.ndarray, "*times points points"]:
        """A_t, the matrix that carries initial outputs to outputs at time t (labels zero)."""
        values, vectors = self._spectrum
        decay, response = self._factors(t, steps, step)
        m, p = len(values), len(self.ntk)
        A = np.zeros((*decay.shape[:-1], p, p))
        A[..., :m, :m] = (vectors * decay[..., None, :]) @ vectors.T
        A[..., m:, m:] = np.eye(p - m)
        A[..., m:, :m] = ((self.ntk[m:] @ vectors) * response[..., None, :]) @ vectors.T
        return A

    def mean(
        self,
        t: ArrayLike | None = None,
        *,
        steps: ArrayLike | None = None,
        step: float | None = None,
    ) -> Float[np.ndarray, "*times points outputs"]:
        """c_t, the mean of the outputs over initializations: (points, outputs) per time.

        Example:
            >>> import jax; jax.config.update("jax_enable_x64", True)
            >>> import widthwise as ww
            >>> net = ww.MLP(depth=1, activation="erf", bias_std=0.1)
            >>> flow = ww.linear_flow(net, [[1.0], [-1.0]], [1.0, 0.0], [[0.5]])
            >>> flow.mean(float("inf"))[:2, 0].round(12)
            array([1., 0.])
        """
        m = len(self.y)
        mean = -self.propagator(t, steps=steps, step=step)[..., :m] @ self.y
        mean[..., :m, :] += self.y
        return mean

    def covariance(
        self,
        t: ArrayLike | None = None,
        *,
        steps: ArrayLike | None = None,
        step: float | None = None,
    ) -> Float[np.ndarray, "*times points points"]:
        """A_t K A_tᵀ, the covariance of one output component; components are independent."""
        A = self.propagator(t, steps=steps, step=step)
        return A @ self.nngp @ np.swapaxes(A, -1, -2)

    def outputs(
        self,
        f0: Float[Array, "*members points outputs"],
        t: ArrayLike | None = None,
        *,
        steps: ArrayLike | None = None,
        step: float | None = None,
    ) -> Float[np.ndarray, "*members_times points outputs"]:
        """A_t f₀ + c_t for given initial outputs.

        Args:
            f0: initial outputs (..., points, outputs).
            t: gradient-flow time or times.
            steps: number or numbers of gradient-descent steps.
            step: η of gradient descent.

        Returns:
            (..., points, outputs) for one time, (..., times, points, outputs) for a list of times.
        """
        f0 = np.asarray(f0, dtype=float)
        expected = (len(self.nngp), self.y.shape[1])
        if f0.shape[-2:] != expected:
            raise ValueError(
                f"f0 must end in shape {expected} (points train then test, outputs), got {f0.shape}"
            )
        A = self.propagator(t, steps=steps, step=step)
        if A.ndim == 3:
            f0 = f0[..., None, :, :]
        return A @ f0 + self.mean(t, steps=steps, step=step)

    def _factors(self, t, steps, step) -> tuple[np.ndarray, np.ndarray]:
        """e^{−tλ} and e_t[0, λ] (or their gradient-descent forms), each (*times, train)."""
        flow, descent = t is not None, steps is not None or step is not None
        if flow == descent or (descent and (steps is None or step is None)):
            raise ValueError(
                "give either a time t (gradient flow) or both steps and step (gradient descent); "
                f"got t={t!r}, steps={steps!r}, step={step!r}"
            )
        values = self.eigenvalues
        live = values > 0
        if flow:
            amount = checks.times(t, "t")[..., None]
            change = np.expm1(-np.where(live, amount, 0.0) * values)
        else:
            eta, amount = self._checked_descent(steps, step)
            amount, rate = np.where(live, amount, 0.0), eta * values
            slow = np.expm1(amount * np.log1p(-np.minimum(rate, 0.5)))
            change = np.where(rate < 0.5, slow, (1 - rate) ** amount - 1)
        self._warn_undetermined(change)
        return 1 + change, np.where(live, change / np.where(live, values, 1.0), 0.0)

    def _warn_undetermined(self, change: np.ndarray) -> None:
        """Warn where training has moved along an eigenvector whose eigenvalue is all error."""
        doubtful = (self.eigenvalues > 0) & (self.eigenvalues < len(self.y) * self.kernel_error)
        if (doubtful & (np.abs(change) > 0.1)).any():
            warnings.warn(
                f"{doubtful.sum()} eigenvalues of the tangent kernel (down to "
                f"{self.eigenvalues[doubtful][0]:.1e}) are below its error, "
                f"{len(self.y) * self.kernel_error:.1e}: outputs at this time are not determined; "
                "stop earlier, merge nearly equal points, or compute the kernel more accurately",
                RuntimeWarning,
                stacklevel=5,
            )

    def _checked_descent(self, steps, step) -> tuple[float, np.ndarray]:
        eta = checks.positive(step, "step")
        if eta >= self.largest_stable_step:
            raise ValueError(
                f"step {eta:g} makes gradient descent diverge: it must be below 2/λ_max = "
                f"{self.largest_stable_step:g}"
            )
        amount = checks.times(steps, "steps")
        if not (np.isinf(amount) | (amount == np.round(amount))).all():
            raise ValueError(f"steps counts gradient-descent steps; got {steps!r}")
        return eta, amount[..., None]


def linear_flow(
    net: MLP,
    x_train: ArrayLike,
    y_train: ArrayLike,
    x_test: ArrayLike | None = None,
    *,
    tolerance: float | None = None,
) -> LinearFlow:
    """The linear flow and time-dependent Gaussian process of an infinitely wide network.

    Args:
        net: the architecture.
        x_train: train points (train, inputs).
        y_train: labels (train, outputs), or (train,) for one output.
        x_test: test points (test, inputs), or ``None``.
        tolerance: as in :func:`limit_kernels`.

    Returns:
        :class:`LinearFlow`.

    Raises:
        ValueError: for shapes that do not match or non-finite numbers.
    """
    checks.require_x64()
    x_train = np.asarray(checks.points(x_train, "x_train"))
    y = checks.targets(y_train, len(x_train), net.outputs, "y_train")
    everything = x_train
    if x_test is not None:
        x_test = np.asarray(checks.points(x_test, "x_test"))
        checks.same_inputs(x_train, x_test, "x_train", "x_test")
        everything = np.concatenate([x_train, x_test])
    kernels = limit_kernels(net, everything, tolerance=tolerance)
    return LinearFlow(
        np.asarray(kernels.nngp),
        np.asarray(kernels.ntk)[:, : len(x_train)],
        y,
        float(np.max(kernels.error)),
    )
