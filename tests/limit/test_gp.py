"""The infinite-width Gaussian process against scikit-learn, the linear flow and finite networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

import widthwise as ww
from widthwise.limit.gp import SingularKernelError

RANDOM = np.random.default_rng(5)
X, TEST = RANDOM.standard_normal((7, 3)), RANDOM.standard_normal((4, 3))
Y = RANDOM.standard_normal((7, 2))
NET = ww.MLP(2, "erf", weight_std=1.4, bias_std=0.3, outputs=2)
INF = float("inf")


class Precomputed(Kernel):
    """The limit kernel as scikit-learn wants it."""

    def __init__(self):
        pass

    def __call__(self, X, Y=None, eval_gradient=False):
        return ww.limit_kernels(NET, X, X if Y is None else Y).nngp

    def diag(self, X):
        return np.array(ww.limit_kernels(NET, X, diagonal=True).nngp)

    def is_stationary(self):
        return False


def test_bayesian_regression_equals_scikit_learn():
    gp = ww.limit_gp(NET, X, Y, TEST, noise=0.2)
    theirs = GaussianProcessRegressor(Precomputed(), alpha=0.04, optimizer=None).fit(X, Y)
    mean, covariance = theirs.predict(np.concatenate([X, TEST]), return_cov=True)
    assert gp.mean() == pytest.approx(mean, abs=1e-11)
    assert gp.covariance() == pytest.approx(covariance[..., 0], abs=1e-11)
    assert gp.log_marginal_likelihood == pytest.approx(theirs.log_marginal_likelihood(), abs=1e-9)


def test_ntk_regression_is_the_linear_flow_at_infinite_time():
    gp = ww.limit_gp(NET, X, Y, TEST)
    flow = ww.linear_flow(NET, X, Y, TEST)
    assert gp.mean("ntk") == pytest.approx(flow.mean(INF), abs=1e-10)
    assert gp.covariance("ntk") == pytest.approx(flow.covariance(INF), abs=1e-10)


def test_noisy_ntk_regression_equals_its_formula():
    gp = ww.limit_gp(NET, X, Y, TEST, noise=0.3)
    k = ww.limit_kernels(NET, np.concatenate([X, TEST]))
    A = k.ntk[:, :7] @ np.linalg.inv(k.ntk[:7, :7] + 0.09 * np.eye(7))
    B = np.concatenate([-A, A], 1)  # f and label noise, beside the initial outputs
    B[:, :7] += np.eye(11)[:, :7]
    joint = np.block([[k.nngp[:7, :7], np.zeros((7, 7))], [np.zeros((7, 7)), 0.09 * np.eye(7)]])
    full = B @ joint @ B.T
    assert gp.mean("ntk") == pytest.approx(A @ Y, abs=1e-12)
    assert gp.covariance("ntk")[:7, :7] == pytest.approx(full[:7, :7], abs=1e-12)


@pytest.mark.parametrize("inference", ["nngp", "ntk"])
def test_draws_have_the_moments_of_the_law(inference):
    gp = ww.limit_gp(NET, X, Y, TEST, noise=0.2)
    prior = np.asarray(gp.prior(jax.random.key(1), 20000))
    assert prior.shape == (20000, 11, 2)
    draws = np.asarray(gp.posterior(jax.random.key(0), 20000, inference))
    for sample, mean, K in (
        (prior, 0.0 * gp.mean(), gp.nngp),
        (draws, gp.mean(inference), gp.covariance(inference)),
    ):
        spread = np.sqrt(np.diag(K))
        z = (sample.mean(0) - mean) / spread[:, None] * 20000**0.5
        assert np.abs(z).max() < 4.5
        for c in range(2):
            gap = np.cov(sample[..., c].T) - K
            z = gap / np.sqrt((np.outer(spread**2, spread**2) + K**2) / 20000)
            assert np.abs(z).max() < 4.5
        across = np.mean((sample[..., 0] - mean[:, 0]) * (sample[..., 1] - mean[:, 1]), 0)
        assert np.abs(across / spread**2).max() < 4.5 / 20000**0.5


def test_likelihood_and_its_derivatives():
    def likelihood(theta, noise):
        net = ww.MLP(2, "erf", theta[0], theta[1], outputs=2)
        return ww.log_marginal_likelihood(net, X, Y, noise=noise)

    theta, e = jnp.array([1.3, 0.4]), 1e-5
    value, slope = jax.value_and_grad(likelihood)(theta, 0.2)
    assert value == pytest.approx(likelihood([1.3, 0.4], 0.2), abs=1e-9)
    gap = likelihood([1.3 + e, 0.4], 0.2) - likelihood([1.3 - e, 0.4], 0.2)
    assert slope[0] == pytest.approx(gap / (2 * e), rel=1e-7)
    gap = likelihood([1.3, 0.4 + e], 0.2) - likelihood([1.3, 0.4 - e], 0.2)
    assert slope[1] == pytest.approx(gap / (2 * e), rel=1e-7)


def test_bad_data_are_refused_where_scales_are_traced():
    def slope(x, y, noise):
        def likelihood(w):
            return ww.log_marginal_likelihood(ww.MLP(2, "erf", w, outputs=2), x, y, noise=noise)

        return jax.grad(likelihood)(1.3)

    with pytest.raises(ValueError, match="y holds nan"):
        slope(X, Y * np.nan, 0.1)
    with pytest.raises(ValueError, match=r"y must have shape \(7, 2\)"):
        slope(X, Y[:6], 0.1)
    with pytest.raises(ValueError, match="noise must be a finite number of at least 0, got -1"):
        slope(X, Y, -1.0)


@pytest.mark.slow
def test_scales_are_found_again_from_draws():
    x = np.random.default_rng(0).standard_normal((120, 2))
    truth = ww.MLP(1, "erf", 1.8, 0.6, outputs=8)
    start = ww.limit_gp(truth, x, np.zeros((120, 8)), noise=0.1)
    key, noise_key = jax.random.split(jax.random.key(3))
    y = start.prior(key, 1)[0] + 0.1 * jax.random.normal(noise_key, (120, 8))

    @jax.value_and_grad
    def loss(theta):
        net = ww.MLP(1, "erf", theta[0], theta[1], outputs=8)
        return -ww.log_marginal_likelihood(net, x, y, noise=0.1)

    fit = minimize(loss, [1.0, 0.2], jac=True, bounds=[(0.1, 5), (1e-3, 5)])
    assert fit.x == pytest.approx([1.8, 0.6], abs=0.3)
    assert fit.fun < loss(jnp.array([1.8, 0.6]))[0] + 1e-6


def test_a_singular_kernel_is_refused_with_the_remedy():
    doubled, y = X[[0, 1, 1]], Y[[0, 1, 1]]
    gp = ww.limit_gp(NET, doubled, y)
    with pytest.raises(SingularKernelError, match="merge equal inputs, give noise"):
        gp.mean()
    with pytest.raises(SingularKernelError, match="ntk kernel on the 3 train points"):
        gp.mean("ntk")
    assert np.isfinite(gp.prior(jax.random.key(0), 3)).all()
    for eased in ({"noise": 0.01}, {"jitter": 1e-9}):
        assert ww.limit_gp(NET, doubled, y, **eased).mean()[:, 0] == pytest.approx(
            y[:, 0], abs=0.01
        )


def test_one_point_and_bad_input():
    gp = ww.limit_gp(ww.MLP(1, "relu"), [[1.0]], [2.0])
    assert gp.mean() == pytest.approx(np.array([[2.0]]))
    with pytest.raises(ValueError, match="noise must be a finite number of at least 0, got -1"):
        ww.limit_gp(NET, X, Y, noise=-1.0)
    with pytest.raises(ValueError, match="y_train must have shape"):
        ww.limit_gp(NET, X, Y[:, 0])
    with pytest.raises(ValueError, match="draws must be an integer"):
        gp.prior(jax.random.key(0), 0)


@pytest.mark.parametrize("number", [np.float64, np.array, jnp.asarray])
def test_noise_may_be_any_scalar_and_likelihoods_may_be_compiled(number):
    plain = ww.log_marginal_likelihood(NET, X, Y, noise=0.2)
    assert ww.log_marginal_likelihood(NET, X, Y, noise=number(0.2)) == plain
    assert ww.limit_gp(NET, X, Y, noise=number(0.2)).noise == 0.2
    compiled = jax.jit(lambda s: ww.log_marginal_likelihood(NET, X, Y, noise=s))(number(0.2))
    assert compiled == pytest.approx(plain, rel=1e-12)
    with pytest.raises(ValueError, match="noise must be a finite number of at least 0"):
        ww.log_marginal_likelihood(NET, X, Y, noise=number(-0.2))
