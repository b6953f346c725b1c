r"""How far a prediction of one network's training can be trusted.

Three numbers announce that the series in n^{−1/2} fails:

* the **ratio** by which the orders shrink, at every time: about Θ_n(0) the estimate of what is left
  out over the last order kept, about Θ_∞ the last order over the one before it;
* **‖Δ‖ (1 − e^{−λt})/λ**, Δ = Θ_n(0) − Θ_∞ on the train rows and λ the smallest eigenvalue of Θ_∞:
  t‖Δ‖ early, ‖Δ‖/λ late, the parameter of the expansion about Θ_∞;
* **ρ** = Σ_k y_k² (1 − e^{−λ_k t})² / (λ_k N), the squared distance that a neuron of the narrowest
  hidden layer moves, of N neurons: large labels along eigenvectors of small λ_k leave the regime in
  which kernels hardly move.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

_GOOD, _POOR = 0.3, 1.0


@dataclass(frozen=True, eq=False)
class Reliability:
    """Signs of failure of one prediction, and what they add up to.

    Args:
        ratio: by which the orders shrink, in root mean square (times,); ``nan`` for order 0 about
            Θ_∞.
        kernel_distance: ‖Θ_n(0) − Θ_∞‖ (1 − e^{−λt})/λ at every time (times,), λ the smallest
            eigenvalue of Θ_∞; ``nan`` where Θ_∞ is unknown.
        labels: ρ at every time, ``nan`` where the width is unknown.
        about_limit: whether the expansion is about Θ_∞.
        reason: why higher orders are not known, or empty.
    """

    ratio: Float[np.ndarray, " times"]
    kernel_distance: Float[np.ndarray, " times"]
    labels: Float[np.ndarray, " times"]
    about_limit: bool
    reason: str = ""
    doubts: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        doubts = []
        ratio, labels = _largest(self.ratio), _largest(self.labels)
        distance = _largest(self.kernel_distance)
        if ratio > _GOOD:
            what = (
                "the last order is up to {} of the one before it"
                if self.about_limit
                else "what is left out may reach {} of the last order kept"
            )
            doubts.append(what.format(f"{ratio:.2g}"))
        if labels > _GOOD:
            doubts.append(
                "the labels are large along directions this width learns slowly "
                f"(ρ reaches {labels:.2g})"
            )
        if self.about_limit and distance > _GOOD:
            doubts.append(
                f"Θ_n(0) − Θ_∞ changes what is learnt along the slowest mode by up to "
                f"{distance:.2g} of it; reference='frozen' knows Θ_n(0)"
            )
        object.__setattr__(self, "doubts", tuple(doubts))

    @property
    def trusted(self) -> bool:
        """Whether higher orders are known and nothing speaks against them."""
        return not self.doubts and not self.reason and not np.isnan(self.ratio).all()

    @property
    def verdict(self) -> str:
        """In plain words."""
        ratio = _largest(self.ratio)
        if self.reason:
            first = f"Linearization only: {self.reason}."
        elif np.isnan(self.ratio).all():
            first = "One order only: nothing estimates what is left out."
        elif self.trusted:
            first = f"Reliable: the next order is about {ratio:.2g} of the last one kept, or less."
        elif max(ratio, _largest(self.labels)) > _POOR:
            first = "Not reliable at this width."
        else:
            first = "Doubtful."
        said = "; ".join(self.doubts)
        return f"{first} {said[:1].upper()}{said[1:]}." if said else first


def _largest(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.max()) if known.size else 0.0


def ratio_of_orders(
    last: Float[np.ndarray, "times ..."], before: Float[np.ndarray, "times ..."]
) -> Float[np.ndarray, " times"]:
    """Root mean square of the last order over that of the one before it; 0 where both are 0."""
    size, base = (np.sqrt((v**2).mean(tuple(range(1, v.ndim)))) for v in (last, before))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(size == 0, 0.0, size / base)
