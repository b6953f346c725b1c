"""The law of training by sampled neurons behind ``training_law``, against the dense engine."""

import jax
import numpy as np
import pytest

import widthwise as ww
from widthwise.training.law import DenseLaw, SampledLaw, TrainingLaw, training_law

X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
X_TEST = np.array([[-0.4], [2.0]])
NET = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))


@pytest.fixture(scope="module")
def laws():
    key = jax.random.key(3)
    return [
        training_law(NET, X, Y, X_TEST, [0.0, 0.5], key=key, engine=engine)
        for engine in ("dense", "neurons")
    ]


def test_both_engines_agree(laws):
    dense, sampled = laws
    assert isinstance(dense, DenseLaw)
    assert isinstance(sampled, SampledLaw)
    n = 100
    for name in ("mean", "covariance"):
        ours, exact = (getattr(law, name)(n) for law in (sampled, dense))
        error = getattr(sampled.errors, name)[2] / n
        assert ours.shape == exact.shape
        assert (np.abs(ours - exact) < 4.5 * error + 1e-7).all()
        first = getattr(sampled, name)(n, order=1)
        assert first == pytest.approx(getattr(dense, name)(n, order=1), abs=1e-7)
    mean = dense.cumulant((4,), 0.5, n)
    assert sampled.cumulant((4,), 0.5, n) == pytest.approx(mean, abs=1e-3)
    assert sampled.cumulant((1, 4), 0.5, n) == sampled.covariance(n)[1, 1, 4]


def test_reliability_is_that_of_the_dense_engine(laws):
    dense, sampled = (law.reliability(64) for law in laws)
    assert sampled.displacement == pytest.approx(dense.displacement, rel=1e-6)
    assert sampled.kernel_change == pytest.approx(dense.kernel_change, rel=0.1)
    assert sampled.ratio == pytest.approx(dense.ratio, rel=0.1)
    assert sampled.verdict.startswith("width 64")


def test_higher_cumulants_are_not_available(laws):
    with pytest.raises(ValueError, match="cumulants of 3 outputs are not available"):
        laws[1].coefficients((0, 1, 2))
    with pytest.raises(ValueError, match="smaller than 1/n"):
        laws[1].coefficients((0, 1, 2, 0, 1))
    with pytest.raises(ValueError, match="0 to 4"):
        laws[1].coefficients((5,))
    assert "3 train and 2 test points" in repr(laws[1])
    assert "neurons" in laws[1].engine


def test_the_engine_is_chosen_by_size(unchecked):
    x = np.linspace(-2, 2, 25)[:, None]
    law: TrainingLaw = training_law(NET, x, np.sin(x[:, 0]), None, 0.0)
    assert isinstance(law, SampledLaw)
    with pytest.raises(ValueError, match="'auto', 'dense' or 'neurons', got 'best'"):
        training_law(NET, X, Y, None, 1.0, engine="best")  # pyright: ignore[reportArgumentType]
    many = np.linspace(-2, 2, 45)[:, None]
    with pytest.raises(ValueError, match="not available at t = inf"):
        training_law(NET, many, np.sin(many[:, 0]))
