"""Coefficients measured on really trained networks against those of the law of training.

Eight networks: tanh and softplus, symmetric and skewed laws, one and two hidden layers; two train
points, one test point. Of every width some thousands are trained.
"""

from typing import NamedTuple

import jax
import numpy as np

import widthwise as ww
from widthwise.training.ensembles import ControlledEnsemble, controlled_ensembles, fit_powers
from widthwise.training.law import TrainingLaw

X, Y, X_TEST = np.array([[-1.0], [0.4]]), np.array([1.0, -0.7]), np.array([[1.5]])
TIMES = [0.5, 2.0]
WIDTHS = (64, 128, 256, 512)
MEMBERS = {1: (16_000, 16_000, 16_000, 12_000), 2: (4_000, 3_000, 1_500, 750)}
# times as many deep networks of skewed laws, where three powers are told apart
MORE = {("tanh", "skewed", 2): 2, ("softplus", "skewed", 2): 4}
SKEWED = ww.laws.Gamma(4.0)
TWO = ww.laws.Discrete([2.0, -0.5], [0.2, 0.8])  # n² gamma variates would take longer than training

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
        ("gaussian", TWO, TWO),
        ("gaussian", TWO, "gaussian"),
    ),
    ("softplus", "skewed", 2): ww.MLP(
        2, "softplus", (1.2, 1.0, 1.0), (0.4, 0.2, 0.0), ("gaussian", TWO, TWO)
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


def measured(name, seed=0) -> tuple[TrainingLaw, dict[int, ControlledEnsemble]]:
    """The law of training of one of the networks, and its ensembles by width."""
    net = NETS[name]
    ensembles = controlled_ensembles(
        net,
        WIDTHS,
        X,
        Y,
        X_TEST,
        TIMES,
        [count * MORE.get(name, 1) for count in MEMBERS[name[2]]],
        jax.random.key(seed),
        precision="float32",
    )
    return ww.training_law(net, X, Y, X_TEST, TIMES), ensembles


def theory(law: TrainingLaw, cumulant: str) -> np.ndarray:
    """The coefficients of the law, with the shape of the ensemble's cumulant."""
    if cumulant == "mean":
        return law.mean_coefficients
    if cumulant == "covariance":
        return law.covariance_coefficients
    order = {"third": 3, "fourth": 4}[cumulant]
    return np.stack([law.coefficients((i,) * order) for i in range(3)], -1)[..., None]


def fits(law: TrainingLaw, ensembles: dict[int, ControlledEnsemble], cumulant: str):
    """Order → the fit whose first coefficient is that order's; the other order is the law's.

    With integer powers n^{−1} and n^{−2}; otherwise three half-integer powers besides the one held.
    """
    expected, found = theory(law, cumulant), {}
    integer = next(iter(ensembles.values())).integer_powers
    for order, held, powers in (
        ((2, 1, (2, 4)),) if integer else ((1, 2, (1, 3, 4)), (2, 1, (2, 3, 4)))
    ):
        excess, errors = [], []
        for n, ensemble in ensembles.items():
            part = getattr(ensemble, cumulant)
            excess.append(part.value - part.limit - expected[held] * n ** (-held / 2))
            errors.append(np.hypot(part.error, ensemble.bias))
        found[order] = fit_powers([*ensembles], np.stack(excess), np.stack(errors), powers)
    return found


def rows(law: TrainingLaw, ensembles: dict[int, ControlledEnsemble], depth: int) -> list[Row]:
    """All coefficients of mean and covariance, and with one hidden layer of κ₃ and κ₄."""
    result = []
    for cumulant in ("mean", "covariance", *(("third", "fourth") if depth == 1 else ())):
        chosen = ensembles
        if cumulant in ("third", "fourth") and ensembles[WIDTHS[0]].integer_powers:
            chosen = {n: e for n, e in ensembles.items() if n >= 128}
        for order, fit in fits(law, chosen, cumulant).items():
            value, error = fit.coefficient(order)
            expected = theory(law, cumulant)[order]
            for place in np.ndindex(value.shape):
                points = place[1:] if cumulant == "covariance" else place[1:2]
                if list(points) == sorted(points):
                    numbers = (float(a[place]) for a in (value, error, expected))
                    result.append(Row(cumulant, TIMES[place[0]], points, order, *numbers))
    return result
