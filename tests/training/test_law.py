"""The law of training against published numbers, exact laws and trained networks."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.special import expit

import widthwise as ww
from training.oracles import enumerated, linear, trained
from widthwise.training.blocks import Blocks
from widthwise.training.dynamics import GradientFlow
from widthwise.training.law import training_law
from widthwise.training.law.engine import Engine
from widthwise.training.solution_map import SolutionMap
from widthwise.training.terms import TERMS

X, Y = np.array([[-1.0], [0.3], [1.2]]), np.array([1.0, -1.0, 0.5])
X_TEST = np.array([[-0.4], [2.0]])
SKEWED = ww.laws.Discrete([2.0, -0.5], [0.2, 0.8])
CONFIG_R = ww.MLP(1, "tanh", (1.5, 1.0), (0.5, 0.0))
SOFTPLUS = ww.MLP(1, "softplus", (1.0, 1.0), (0.5, 0.0), ("gaussian", SKEWED))


@pytest.fixture(scope="module")
def law_r():
    return training_law(CONFIG_R, X, Y, X_TEST, [0.0, 0.5, 2.0, np.inf])


def test_reference_numbers_of_config_r(law_r):
    """One hidden tanh layer, three train and two test points; independent quadrature."""
    K, theta = law_r.blocks.nngp, law_r.blocks.ntk
    for (i, j), value in {(0, 0): 0.55882143, (4, 4): 0.74836084, (0, 4): -0.53357318}.items():
        assert K[i, j] == pytest.approx(value, abs=1e-8)
    for (i, j), value in {(0, 0): 1.35109144, (2, 2): 1.56518796, (4, 0): -1.25056126}.items():
        assert theta[i, j] == pytest.approx(value, abs=1e-8)
    assert law_r.solution.eigenvalues == pytest.approx(
        [0.14023923, 0.60847301, 2.70176952], abs=1e-8
    )
    mean, covariance = law_r.mean_coefficients[..., 0], law_r.covariance_coefficients
    assert mean[0, 2] == pytest.approx(
        [0.613239, -0.282007, -0.122908, 0.318251, -0.027554], abs=1e-6
    )
    assert np.diag(covariance[0, 2]) == pytest.approx(
        [0.009611, 0.023154, 0.005504, 0.048634, 0.02597], abs=1e-6
    )
    assert mean[2, 1] == pytest.approx(
        [-0.227932, 0.052483, -0.042153, -0.086565, -0.09644], abs=1e-6
    )
    assert np.diag(covariance[2, 1]) == pytest.approx(
        [0.179284, -0.005508, 0.214466, -0.040704, 0.31007], abs=1e-6
    )
    assert covariance[2, 1, 0, 4] == pytest.approx(-0.248645, abs=1e-6)
    assert not mean[1].any()
    assert not covariance[1].any()


def test_every_cumulant_of_a_linear_network():
    """Through 1/n, from the exact law at three widths."""
    time, y = 0.7, 0.8
    net = ww.MLP(1, "identity", (1.1, 0.9))
    law = training_law(net, [[1.3]], [y], [[2.0]], times=time)
    limit = [law.coefficients((0,) * k)[0, 0] for k in (1, 2, 3, 4)]
    each = [n * (linear.cumulants(n, 1.3 * 0.99, y, time) - limit) for n in (512, 1024, 2048)]
    exact = (each[0] - 6 * each[1] + 8 * each[2]) / 3
    for k in (1, 2, 3, 4):
        assert law.coefficients((0,) * k)[2, 0] == pytest.approx(exact[k - 1], rel=3e-6)
        # the test output is the train output times a number
        together = law.coefficients((1, 0, 1, 0)[:k])[2, 0]
        assert together == pytest.approx(exact[k - 1] * (2 / 1.3) ** ((k + 1) // 2), rel=3e-6)


def test_two_outputs_of_a_linear_network():
    """Against 150 thousand samples of its exact law at width 400, from common random numbers."""
    n, members, q, time = 400, 150_000, 1.1, 0.6
    y = np.array([0.9, -0.5])
    law = training_law(ww.MLP(1, "identity", outputs=2), [[q]], [y], times=time)
    rng = np.random.default_rng(0)
    # Bartlett's decomposition of the Wishart law of (w, A₁, A₂)
    T = np.zeros((members, 3, 3))
    for i in range(3):
        T[:, i, i] = np.sqrt(rng.chisquare(n - i, members))
        T[:, i, :i] = rng.normal(size=(members, i))
    W = T @ np.swapaxes(T, 1, 2)
    g, S, M = W[:, 0, 1:] / np.sqrt(n), W[:, 0, 0] / n, W[:, 1:, 1:] / n
    f = linear.flow(g, S, M, q, y, n, time, 12)
    decay = np.exp(-2 * q**2 * time)
    plain = decay * q * g + (1 - decay) * y
    shift, error = trained.mean_shift(f, plain)
    z = (n * shift - law.mean_coefficients[2, 0, 0]) / (n * error)
    assert np.abs(z).max() < 3.5
    shift, error = trained.covariance_shift(f, plain)
    # cov q g is exactly q² at every width
    z = (n * shift - law.covariance_coefficients[2, 0, 0, :, 0, :]) / (n * error)
    assert np.abs(z).max() < 3.5


BIASED = ww.MLP(
    1,
    "tanh",
    (1.5, 1.0),
    (0.5, 0.8),
    ("uniform", "gaussian"),
    "laplace",
    bias_scaling="fan_in",
    ratios=(2.0,),
)


@pytest.mark.parametrize(
    "net", [CONFIG_R, SOFTPLUS, BIASED], ids=["symmetric", "skewed", "shrinking bias"]
)
def test_at_time_zero_it_is_the_law_at_initialization(net):
    law = training_law(net, X, Y, X_TEST, 0.0)
    initial = ww.output_cumulants(net, np.concatenate([X, X_TEST]), order=2)
    for points in ((1,), (0, 3), (4, 4), (0, 1, 4), (2, 2, 2), (0, 0, 3, 4)):
        expected = initial.cumulant(points).coefficients
        assert law.coefficients(points)[:, 0] == pytest.approx(expected, abs=1e-9)


def test_the_end_of_training_is_late_times():
    law = training_law(SOFTPLUS, X[:2], Y[:2], X_TEST, [1e5, np.inf])
    assert law.mean_coefficients[:, 0] == pytest.approx(law.mean_coefficients[:, 1], abs=1e-8)
    for points in ((0, 2), (2, 3), (2, 2, 3), (2, 2, 3, 3)):
        late, end = law.coefficients(points).T
        assert late == pytest.approx(end, abs=1e-8)
    assert law.mean_coefficients[0, 1, :2, 0] == pytest.approx(Y[:2])
    assert np.abs(law.mean_coefficients[1:, 1, :2]).max() < 1e-11
    assert np.abs(law.covariance_coefficients[:, 1, :2]).max() < 1e-11


def test_rotated_labels_rotate_the_law():
    """Gaussian readouts do not know which component is which."""
    net = ww.MLP(1, "tanh", (1.5, 1.2), (0.5, 0.3), outputs=2)
    angle = 0.7
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    y = np.array([[1.0, 0.0], [-1.0, 0.0]])
    one, turned = (training_law(net, X[:2], labels, X_TEST[:1], 0.8) for labels in (y, y @ R.T))
    assert turned.mean_coefficients[2, 0] == pytest.approx(
        one.mean_coefficients[2, 0] @ R.T, abs=1e-9
    )
    covariance = np.einsum("acbd,ec,fd->aebf", one.covariance_coefficients[2, 0], R, R)
    assert turned.covariance_coefficients[2, 0] == pytest.approx(covariance, abs=1e-9)
    # a component whose labels vanish has mean 0 and is uncorrelated with the other
    assert one.mean_coefficients[2, 0, :, 1] == pytest.approx(np.zeros(3), abs=1e-12)
    assert one.covariance_coefficients[2, 0, :, 0, :, 1] == pytest.approx(
        np.zeros((3, 3)), abs=1e-12
    )
    assert one.cumulant((0, 0, 2), 0.8, 50, components=(1, 1, 0)) != 0


def test_permuted_components_and_points_permute_the_law():
    net = ww.MLP(1, "softplus", 1.0, (0.5, 0.0), ("gaussian", SKEWED), outputs=2)
    y = np.array([[1.0, 0.3], [-1.0, 0.2]])
    law = training_law(net, X[:2], y, X_TEST[:1], 0.8)
    other = training_law(net, X[1::-1], y[::-1, ::-1], X_TEST[:1], 0.8)
    move = [1, 0, 2]
    for order in (1, 2):
        assert other.mean_coefficients[order, 0] == pytest.approx(
            law.mean_coefficients[order, 0][move, ::-1], abs=1e-10
        )
        permuted = law.covariance_coefficients[order, 0][move][:, ::-1][:, :, move][..., ::-1]
        assert other.covariance_coefficients[order, 0] == pytest.approx(permuted, abs=1e-10)


def test_cumulants_agree_with_tensors_and_are_symmetric(law_r):
    assert law_r.coefficients((1,))[:, 2] == pytest.approx(law_r.mean_coefficients[:, 2, 1, 0])
    for row, column in ((0, 3), (4, 2)):
        assert law_r.coefficients((row, column)) == pytest.approx(
            law_r.covariance_coefficients[:, :, row, column]
        )
    third = [law_r.coefficients(points)[2, 2] for points in permutations((0, 3, 4))]
    assert third == pytest.approx([third[0]] * 6)
    n = 100
    assert law_r.mean(n)[2, 1] == pytest.approx(
        law_r.mean_coefficients[0, 2, 1] + law_r.mean_coefficients[2, 2, 1] / n
    )
    assert law_r.mean(n, order=0)[2, 1] == pytest.approx(law_r.mean_coefficients[0, 2, 1])
    assert law_r.cumulant((0, 4), 2.0, n) == pytest.approx(law_r.covariance(n)[2, 0, 4])


def test_lower_orders_are_the_first_coefficients():
    full, half, limit = (
        training_law(SOFTPLUS, X[:2], Y[:2], X_TEST, 0.8, order=order) for order in (2, 1, 0)
    )
    for law, kept in ((half, 2), (limit, 1)):
        assert law.mean_coefficients == pytest.approx(full.mean_coefficients[:kept], abs=1e-14)
        assert law.covariance_coefficients == pytest.approx(
            full.covariance_coefficients[:kept], abs=1e-14
        )
        assert law.coefficients((0, 2, 2)) == pytest.approx(
            full.coefficients((0, 2, 2))[:kept], abs=1e-14
        )
        assert law.reliability(50).ratio == pytest.approx(full.reliability(50).ratio)
    flow = ww.linear_flow(SOFTPLUS, X[:2], Y[:2], X_TEST)
    assert limit.mean(10)[0] == pytest.approx(flow.mean(0.8), abs=1e-12)
    assert limit.covariance(10)[0] == pytest.approx(flow.covariance(0.8), abs=1e-12)


def test_weights_that_would_not_fit_are_refused(law_r):
    solution = SolutionMap(np.eye(30), np.zeros(30))
    many = Engine(solution, law_r.blocks, GradientFlow(np.arange(100.0)), 2)
    with pytest.raises(ValueError, match="TT term of 30 train modes at 100 times"):
        many._weight(TERMS[7])


def test_duplicate_inputs_stay_duplicates():
    x, y = X[[0, 0, 1]], np.array([1.0, 0.4, -1.0])
    law = training_law(CONFIG_R, x, y, X[:1], [0.7, np.inf])
    mean, covariance = law.mean_coefficients[..., 0], law.covariance_coefficients
    assert np.isfinite(mean).all()
    assert np.isfinite(covariance).all()
    assert mean[:, :, 0] == pytest.approx(mean[:, :, 1], abs=1e-10)
    assert mean[:, :, 0] == pytest.approx(mean[:, :, 3], abs=1e-10)
    assert covariance[:, :, 0] == pytest.approx(covariance[:, :, 1], abs=1e-10)
    assert mean[0, 1, 0] == pytest.approx(0.7)


def test_reliability_knows_early_late_and_wide(law_r):
    early, late = law_r.reliability(64).verdicts[1], law_r.reliability(64).verdicts[3]
    assert (early, late) == ("reliable", "unreliable")
    assert law_r.reliability(10**6).verdicts == ("reliable",) * 4
    assert "unreliable at t = inf" in str(law_r.reliability(64))
    r = law_r.reliability(100)
    assert r.ratio[0] == r.displacement[0] == r.kernel_change[0] == 0
    # order 2 over order 1 falls like n^{-1/2}, displacement like 1/n
    r4 = law_r.reliability(400)
    doubtful = replace(law_r.blocks, kernel_error=0.05)
    assert replace(law_r, blocks=doubtful).reliability(10**6).verdicts[3] == "rough"
    assert r4.ratio[1:] == pytest.approx(r.ratio[1:] / 2)
    assert r4.displacement[1:] == pytest.approx(r.displacement[1:] / 4)
    near = np.array([[-1.0], [-0.98], [1.2]])
    tiny = training_law(CONFIG_R, near, Y, times=[0.5, np.inf])
    assert tiny.reliability(1000).verdicts[1] == "unreliable"
    assert tiny.reliability(1000).verdicts[0] == "reliable"


def test_errors_come_from_the_blocks(law_r):
    assert law_r.errors.mean.max() < 1e-4
    x = np.random.default_rng(1).normal(size=(6, 6))
    net = ww.MLP(1, "erf", (1.2, 1.0), (0.5, 0.0))
    rough, fine = (
        training_law(net, x[:3], Y, x[3:], 0.5, samples=count) for count in (1 << 12, 1 << 16)
    )
    z = (rough.mean_coefficients - fine.mean_coefficients)[2] / rough.errors.mean[2]
    assert 0.3 < np.sqrt(np.mean(z**2)) < 2.5
    assert rough.errors.mean[:2].max() < 1e-13
    assert rough.errors.covariance[2].shape == rough.covariance_coefficients[2].shape
    # without replicates, the errors of the blocks are propagated
    alone = Blocks(
        rough.blocks.nngp, rough.blocks.ntk, rough.blocks.values, rough.blocks.errors, train=3
    )
    law = type(rough)(rough.solution, alone, rough.dynamics, 2)
    ratio = law.errors.mean[2] / rough.errors.mean[2]
    assert 0.05 < np.median(ratio) < 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": 3}, "order must be 0, 1 or 2"),
        ({"times": -1.0}, "times must be a number of at least 0"),
        ({"y_train": [1.0]}, "y_train must have shape"),
        ({"net": ww.MLP(1, "relu")}, "smooth activation"),
        ({"net": ww.MLP(2, "relu")}, "kinks"),
    ],
)
def test_refusals(change, message):
    arguments = {"net": CONFIG_R, "x_train": X, "y_train": Y, "times": 1.0} | change
    with pytest.raises(ValueError, match=message):
        training_law(**arguments)


def test_refused_questions(law_r):
    with pytest.raises(ValueError, match=r"one of \[0.0, 0.5, 2.0, inf\], got 0.7"):
        law_r.cumulant((0, 0), 0.7, 100)
    with pytest.raises(ValueError, match="at most 2"):
        law_r.mean(100, order=3)
    with pytest.raises(ValueError, match="more than four"):
        law_r.coefficients((0,) * 5)
    with pytest.raises(ValueError, match="0 to 4"):
        law_r.coefficients((5,))
    with pytest.raises(ValueError, match=r"components must give one output"):
        law_r.coefficients((0, 1), components=(0, 1))


TANH = (np.tanh, lambda z: 1 / np.cosh(z) ** 2)
LOG = (lambda z: np.logaddexp(0, z), expit)
SIGN = (np.ones(1), np.ones(1))  # (w, a) and (−w, −a) are one neuron if φ is odd, a symmetric


@pytest.mark.parametrize(
    ("name", "functions", "first", "readout", "outputs"),
    [
        ("softplus", LOG, ww.laws.Rademacher().quadrature(1), SKEWED, 1),
        ("tanh", TANH, ww.laws.Rademacher().quadrature(1), SKEWED, 1),
        ("tanh", TANH, SIGN, ww.laws.Rademacher(), 2),
    ],
)
def test_against_all_networks_of_a_finite_law(name, functions, first, readout, outputs):
    """Every trained network of up to 40 neurons, no sampling: orders n^{−1/2} and 1/n."""
    x, time = np.array([0.9, -0.6, 1.4]), 0.4
    y = np.array([[0.7, -0.2], [-0.4, 0.5]])[:, :outputs]
    net = ww.MLP(1, name, 1.0, 0.0, ("rademacher", readout), outputs=outputs)
    law = training_law(net, x[:2, None], y, x[2:, None], time)
    points = ((0,), (2,), (0, 2), (2, 2), (0, 1, 2), (0, 1, 2, 2))
    components = ((0,), (0,), (0, 1), (1, 1), (0, 1, 1), (0, 1, 1, 0))
    chosen = [
        (rows, parts if outputs == 2 else (0,) * len(rows))
        for rows, parts in zip(points, components, strict=True)
    ]
    atoms = enumerated.kinds(first, readout.quadrature(1), outputs)
    fits = [
        enumerated.coefficients(widths, *atoms, functions, x, y, time, 10, chosen, 5)
        for widths in ((8, 11, 16, 22, 32, 40), (6, 8, 11, 16, 22, 32))
    ]
    uncertain = 5 * np.abs(fits[0] - fits[1]) + 1e-6
    found = np.array([law.coefficients(*each)[:, 0] for each in chosen])
    assert (np.abs(found - fits[0]) < uncertain).all()
    # what this cannot tell apart is small
    assert (uncertain < 0.1 * np.abs(found).max(0) + 1e-5).all()


WIDTHS, MEMBERS = (64, 128, 256), (16_000, 12_000, 8_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["symmetric", "skewed"])
def test_against_sampled_networks(name):
    """Coefficients of mean, covariance and third cumulants, extrapolated in the width."""
    net, times = {"symmetric": CONFIG_R, "skewed": SOFTPLUS}[name], [0.5, 1.5]
    law = training_law(net, X, Y, X_TEST, times)
    pairs = [
        trained.deviations(net, (X, Y, X_TEST), times, n, members, n)
        for n, members in zip(WIDTHS, MEMBERS, strict=True)
    ]
    mean, covariance = law.mean_coefficients[..., 0], law.covariance_coefficients
    third = np.stack([law.coefficients((i, i, i)) for i in range(5)], -1)
    power = -1 if name == "symmetric" else -0.5
    measured = [(trained.mean_shift, mean), (trained.covariance_shift, covariance)]
    if name == "symmetric":  # the linear flow has a third cumulant of its own otherwise
        measured.append((trained.third_shift, third))
    for shift, coefficients in measured:
        shifts = [shift(*pair) for pair in pairs]
        rest = [
            (value - coefficients[1] / np.sqrt(n), error)
            for n, (value, error) in zip(WIDTHS, shifts, strict=True)
        ]
        value, error = trained.extrapolated(WIDTHS, rest, 1, (power,))
        z = (value - coefficients[2]) / error
        assert np.sqrt(np.mean(z**2)) < 1.6
        assert np.abs(z).max() < 4
        if name == "skewed":
            value, error = trained.extrapolated(WIDTHS, shifts, 0.5, (-0.5, -1))
            assert np.abs((value - coefficients[1]) / error).max() < 4


def test_reliability_counts_neurons():
    one, wide = (
        training_law(ww.MLP(1, "tanh", 1.5, (0.5, 0.0), ratios=ratios), X[:2], Y[:2], times=[0.5])
        for ratios in (None, (2.0,))
    )
    expected, found = one.reliability(128), wide.reliability(64)
    for name in ("ratio", "kernel_change", "displacement"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name


def test_no_times_and_samples_of_the_other_engine_are_refused():
    net = ww.MLP(1, "tanh")
    with pytest.raises(ValueError, match=r"at least one time, got \[\]"):
        training_law(net, X, Y, times=[])
    with pytest.raises(ValueError, match=r"samples=512 counts random points of the dense engine"):
        training_law(net, X, Y, times=[0.5], samples=512, engine="neurons")
