"""The law of training by sampled neurons: hundreds of points, mean and covariance."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise.training.law.law import LawErrors, TrainingLaw
from widthwise.training.law.reliability import Reliability
from widthwise.training.neurons import ScalableLaw


@dataclass(frozen=True, eq=False, repr=False)
class SampledLaw(TrainingLaw):
    """The law of one output from :func:`widthwise.training.neurons.scalable_law`.

    Args:
        sampled: the coefficients and their standard errors.
        order: highest power of n^{−1/2}.
    """

    sampled: ScalableLaw
    order: int

    @property
    def times(self) -> Float[np.ndarray, " times"]:
        return self.sampled.times

    @property
    def outputs(self) -> int:
        return 1

    @property
    def points(self) -> int:
        return len(self.sampled.flow.nngp)

    @property
    def engine(self) -> str:
        law = self.sampled
        return f"neuron by neuron, {law.neurons} neurons, cubic term {law.cubic.replace('_', ' ')}"

    def __repr__(self) -> str:
        train = len(self.sampled.flow.y)
        return (
            f"SampledLaw({train} train and {self.points - train} test points, "
            f"times={self.times.tolist()}, order={self.order}; {self.engine})"
        )

    @cached_property
    def mean_coefficients(self) -> Float[np.ndarray, "orders times points outputs"]:
        return self.sampled.mean[: self.order + 1, ..., None]

    @cached_property
    def covariance_coefficients(self) -> Float[np.ndarray, "..."]:
        return self.sampled.covariance[: self.order + 1]

    @cached_property
    def errors(self) -> LawErrors:
        """Standard errors of the coefficients of mean and covariance; order 0 is not sampled."""
        law, kept = self.sampled, slice(self.order + 1)
        return LawErrors(law.mean_error[kept, ..., None], law.covariance_error[kept])

    def coefficients(
        self, points: Sequence[int], components: Sequence[int] | None = None
    ) -> Float[np.ndarray, "orders times"]:
        rows, _ = self._numbered(points, components)
        if len(rows) > 2:
            raise ValueError(
                f"cumulants of {len(rows)} outputs are not available: with {self.points} points "
                "neurons are sampled for mean and covariance only, and tensors over three or four "
                "rows are not formed; ask training_law for the law of a few of the points"
            )
        if len(rows) == 1:
            return self.mean_coefficients[:, :, rows[0], 0]
        one, other = list(rows)
        return self.covariance_coefficients[:, :, one, other]

    def reliability(self, width: int) -> Reliability:
        n, law = float(checks.width(width)), self.sampled
        size = np.sqrt((law.first_order + law.mean[1] ** 2).mean(1))
        after = np.sqrt((law.mean[2] ** 2).mean(1) / n)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(after == 0, 0.0, after / size)
            values = law.flow.eigenvalues
            learnt = -np.expm1(-values * law.times[:, None]) / values
        learnt = np.where(values > 0, learnt, law.times[:, None])
        change = np.sqrt(law.kernel_fluctuation / n) * learnt
        return Reliability(
            int(n), law.times, ratio, change.max(-1, initial=0.0), law.displacement / n
        )
