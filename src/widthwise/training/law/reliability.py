r"""How far the law of training can be trusted at a width.

The series in ε = n^{−1/2} expands in how far training moves a neuron and the tangent kernel. Three
numbers measure that, each at every time:

* **ratio**: the mean of the terms of order 2 over the root mean square of those of order 1, both as
  root mean squares over rows: the next term over the last one;
* **kernel change**: (E‖Δq‖²)^{1/2} (1 − e^{−tλ}) / λ, what the random part Δ of the tangent kernel
  does to an eigenvector q of Θ of eigenvalue λ (t‖Δq‖ early, ‖Δq‖/λ late), the largest of them;
* **displacement**: ρ = (1/N) Σ_k E r_k² (1 − e^{−λ_k t})² / λ_k with E r_k² = y_k² + K_kk, the mean
  square movement of a neuron of the narrowest hidden layer, of N = ratio · n; corrections have been
  seen to miss by 2 to 5 times ρ.

The verdicts are calibrated on trained networks (one hidden layer of tanh or softplus, widths 32 to
512, times 0.25 to 8): where they say "reliable" the 1/n corrections of mean and variance were right
within about a quarter of themselves, where they say "rough" within about half.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from widthwise.training.dynamics import GradientDescent
from widthwise.training.law.engine import Engine

_LEVELS = (("reliable", 0.3, 0.5, 0.03), ("rough", 1.0, 1.5, 0.15))


@dataclass(frozen=True, eq=False)
class Reliability:
    """What speaks for and against a law of training at one width, time by time.

    Args:
        width: n.
        times: the times, or numbers of steps (times,).
        ratio: order 2 over order 1 (times,).
        kernel_change: (times,), see the module's text.
        displacement: ρ (times,).
        clock: the letter of the times, "k" for steps of gradient descent.
    """

    width: int
    times: Float[np.ndarray, " times"]
    ratio: Float[np.ndarray, " times"]
    kernel_change: Float[np.ndarray, " times"]
    displacement: Float[np.ndarray, " times"]
    clock: str = "t"

    @property
    def verdicts(self) -> tuple[str, ...]:
        """Per time "reliable", "rough" (corrections right in sign and size) or "unreliable"."""
        return tuple(self._verdict(i) for i in range(len(self.times)))

    def _verdict(self, i: int) -> str:
        for word, ratio, change, displacement in _LEVELS:
            if (
                self.ratio[i] <= ratio
                and self.kernel_change[i] <= change
                and self.displacement[i] <= displacement
            ):
                return word
        return "unreliable"

    @property
    def verdict(self) -> str:
        """The verdict in plain words."""
        words = {}
        for t, word in zip(self.times, self.verdicts, strict=True):
            words.setdefault(word, []).append(f"{t:g}")
        said = "; ".join(f"{word} at {self.clock} = {', '.join(ts)}" for word, ts in words.items())
        if set(words) == {"reliable"}:
            return f"width {self.width}: {said}"
        worst = int(np.argmax(np.where(np.isfinite(self.ratio), self.ratio, np.inf)))
        return (
            f"width {self.width}: {said} (order 2 is up to {self.ratio[worst]:.2g} of order 1, "
            f"the tangent kernel varies by {self.kernel_change.max():.2g} of an eigenvalue, "
            f"displacement {self.displacement.max():.2g}); stop earlier, regularize small "
            "eigenvalues by merging nearly equal points, or take a larger width"
        )

    def __str__(self) -> str:
        return self.verdict


def reliability(engine: Engine, times: Float[np.ndarray, " times"], width: int) -> Reliability:
    """The reliability of an engine's cumulants at a width."""
    solution, blocks, n = engine.solution, engine.blocks, float(width)
    first, second = engine.cumulants(1)[1:]
    square = np.maximum(engine.first_order_variance(), 0.0) + first**2
    size = np.sqrt(square.mean(1))
    after = np.sqrt((second**2).mean(1)) / np.sqrt(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(after == 0, 0.0, after / size)
    values, m = solution.eigenvalues, solution.train
    learnt = -engine.dynamics.divided_differences(np.stack([0 * values, values], -1))
    kernels = blocks.get("DD", 2)
    fluctuation = np.zeros_like(values)
    if kernels is not None:
        turned = solution.modes(kernels[:m, :m, :m, :m], "tttt")
        fluctuation = np.maximum(np.einsum("ikik->k", turned), 0.0)
    labels = solution.modes(solution.y, "t") ** 2
    residual = labels + np.diag(solution.modes(blocks.nngp, "tt"))
    return Reliability(
        width,
        times,
        ratio,
        ((np.sqrt(fluctuation / n) + m * blocks.kernel_error) * learnt).max(-1, initial=0.0),
        (residual * learnt**2 * values).sum(-1) / (n * blocks.ratio),
        "k" if isinstance(engine.dynamics, GradientDescent) else "t",
    )
