"""Coefficients measured on really trained networks against those of the law of training.

Eight networks: tanh and softplus, symmetric and skewed laws, one and two hidden layers; two train
points, one test point. Of every width some thousands are trained.
"""

from typing import NamedTuple

import jax
import numpy as np

import widthwise as ww
from widthwise.training.ensembles import Extrapolation, controlled_ensembles, richardson
from widthwise.training.law import TrainingLaw

X, Y, X_TEST = np.array([[-1.0], [0.4]]), np.array([1.0, -0.7]), np.array([[1.5]])
TIMES = [0.5, 2.0]
WIDTHS = (64, 128, 256, 512)
MEMBERS = {1: (16_000, 16_000, 16_000, 12_000), 2: (4_000, 3_000, 1_500, 750)}
SKEWED = ww.laws.Gamma(4.0)
TWO = ww.laws.Discrete([2.0, -0.5], [0.2, 0.8])

NETS = {
    ("tanh", "symmetric", 1): ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0)),
    ("softplus", "symmetric", 1): ww.MLP(1, "softplus", (1.5, 1.0), (0.5, 0.0)),
    ("tanh", "skewed", 1): ww.MLP(
        1, "tanh", (1.5, 1.0), (1.0, 0.0), ("gaussian", SKEWED), (TWO, "gaussian")
    ),
    ("softplus", "skewed", 1): ww.MLP(1, "softplus", (1.5, 1.0), (0.5, 0.0), ("gaussian", SKEWED)),
    ("tanh", "symmetric", 2): ww.MLP(2, "tanh", (1.3, 1.3, 1.0), (0.4, 0.3, 0.0)),
    ("softplus", "symmetric", 2): ww.MLP(2, "softplus", (1.2, 1.0, 1.0), (0.4, 0.2, 0.0)),
    ("tanh", "skewed", 2): ww.MLP(
        2,
        "tanh",
        (1.3, 1.3, 1.0),
        (0.4, 1.0, 0.0),
        ("gaussian", SKEWED, SKEWED),
        ("gaussian", TWO, "gaussian"),
    ),
    ("softplus", "skewed", 2): ww.MLP(
        2, "softplus", (1.2, 1.0, 1.0), (0.4, 0.2, 0.0), ("gaussian", SKEWED, SKEWED)
    ),
}


class Row(NamedTuple):
    """One coefficient: of a cumulant at a time, of n^{−power/2}, measured and predicted."""

    cumulant: str
    time: float
    points: tuple[int, ...]
    power: int
    measured: float
    error: float
    theory: float

    @property
    def z(self) -> float:
        return (self.measured - self.theory) / self.error


def measured(name, widths=WIDTHS, members=None, seed=0) -> tuple[Extrapolation, TrainingLaw, dict]:
    """The extrapolated coefficients of one of the networks, its law of training, its ensembles."""
    net, depth = NETS[name], name[2]
    count = MEMBERS[depth] if members is None else members
    law = ww.training_law(net, X, Y, X_TEST, TIMES)
    ensembles = controlled_ensembles(
        net, widths, X, Y, X_TEST, TIMES, count, jax.random.key(seed), precision="float32"
    )
    return richardson(ensembles), law, ensembles


def rows(found: Extrapolation, law: TrainingLaw, depth: int, higher=None) -> list[Row]:
    """All coefficients of mean and covariance, and with one hidden layer of κ₃ and κ₄."""
    result = []
    orders = (2,) if 1 not in found.mean.powers else (1, 2)
    for t, time in enumerate(TIMES):
        for power in orders:
            value, error = found.mean.coefficient(power)
            theory = law.mean_coefficients[power, t, :, 0]
            result += [
                Row("mean", time, (i,), power, value[t, i, 0], error[t, i, 0], theory[i])
                for i in range(3)
            ]
            value, error = found.covariance.coefficient(power)
            theory = law.covariance_coefficients[power, t]
            result += [
                Row("covariance", time, (i, j), power, value[t, i, j], error[t, i, j], theory[i, j])
                for i in range(3)
                for j in range(i + 1)
            ]
            if depth == 1:
                fits = found if higher is None else higher
                for k, fit in ((3, fits.third), (4, fits.fourth)):
                    value, error = fit.coefficient(power)
                    for i in range(3):
                        theory = law.coefficients((i,) * k)[power, t]
                        result.append(
                            Row(f"k{k}", time, (i,), power, value[t, i, 0], error[t, i, 0], theory)
                        )
    return result
