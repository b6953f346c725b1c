"""The law of training on a terminal."""

import numpy as np
import pytest

from widthwise.show import trained_law
from widthwise.training.law import TrainingLaw


class Law(TrainingLaw):
    """Zeros, for many points."""

    outputs, points, engine, times = 1, 0, "none", np.array([1.0, 2.0])

    def __init__(self, points):
        self.points = points

    def mean(self, width, order=None):
        return np.zeros((2, self.points, 1))

    def covariance(self, width, order=None):
        return np.zeros((2, self.points, self.points))

    def reliability(self, width):
        return self

    verdict = "fine"


Law.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("train", "test", "shown", "told"),
    [
        (300, 40, 20, ["… and 290 more train points", "… and 30 more test points"]),
        (11, 2, 13, []),
        (12, 0, 10, ["… and 2 more train points"]),
    ],
)
def test_of_many_points_the_first_are_shown(train, test, shown, told):
    lines = trained_law.lines(Law(train + test), 64, train)
    assert sum(line.startswith(("train ", "test ")) for line in lines) == shown
    more = [line for line in lines if line.startswith("…")]
    assert len(more) == len(told)
    for line, words in zip(more, told, strict=True):
        assert words in line
    assert len(trained_law.rows(Law(train + test), 64, train)) == 2 * (train + test)
