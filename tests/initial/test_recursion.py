"""The cumulant recursion: identities it keeps, special cases, and what it refuses."""

from itertools import combinations_with_replacement

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import widthwise as ww
from widthwise.algebra.partitions import joint_cumulant
from widthwise.initial.recursion import Recursion
from widthwise.initial.recursion.monomials import monomials
from widthwise.initial.shallow import ShallowCumulants

EXPONENTIAL = ("gaussian", "exponential", "exponential")
X2 = [[1.0, 0.2, -0.4], [0.3, -0.8, 0.9]]


def coefficients(net, x, points, components=None, order=4):
    return ww.output_cumulants(net, x, order).cumulant(points, components)


@pytest.mark.parametrize(("activation", "law"), [("tanh", "uniform"), ("relu", "gaussian")])
def test_depth_one_equals_the_exact_shallow_cumulants(activation, law):
    net = ww.MLP(1, activation, 1.3, 0.2, weight_law=(law, "exponential"),
                 bias_law=("gaussian", "exponential"), ratios=(0.5,), outputs=2)  # fmt: skip
    x = np.array([[1.0, 0.4], [-0.2, 0.9]])
    recursion, shallow = Recursion(net, x, 2), ShallowCumulants(net, x)
    for points, components in (
        ((0, 1), (0, 0)),
        ((0, 1, 1), (0, 0, 0)),
        ((0, 0, 1, 1), (0, 0, 0, 0)),
        ((0, 0, 1, 1), (0, 0, 1, 1)),
        ((0, 0, 1, 1), (0, 1, 1, 1)),
    ):
        expected = np.zeros(3)
        expected[len(points) - 2] = shallow.cumulant(points, components).value
        power, bias = shallow.bias_cumulant(components)
        expected[power] += bias
        assert recursion.cumulant(points, components).value == pytest.approx(expected, abs=1e-9)


def test_other_inputs_do_not_change_a_cumulant():
    net = ww.MLP(2, "tanh", 1.4, 0.3, weight_law=EXPONENTIAL)
    x = np.array([[1.0, 0.4], [-0.2, 0.9], [0.6, -0.5]])
    together, apart = Recursion(net, x, 2), Recursion(net, x[[0, 2]], 2)
    for points in ((0, 2), (0, 0, 2), (0, 2, 2, 2)):
        smaller = tuple(p // 2 for p in points)
        components = (0,) * len(points)
        assert together.cumulant(points, components).value == pytest.approx(
            apart.cumulant(smaller, components).value, abs=1e-9
        )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_bias_law_that_happens_to_be_gaussian(activation):
    """The route for biases that are not Gaussian, on one that is."""
    normal = ww.laws.from_scipy(scipy.stats.norm())
    nets = [
        ww.MLP(2, activation, 1.2, 0.5, ("gaussian", "uniform", "uniform"), ("gaussian", law, law))
        for law in ("gaussian", normal)
    ]
    for points in ((0, 1), (0, 0, 1, 1)):
        one, other = (coefficients(net, X2, points, order=2) for net in nets)
        assert one.coefficients == pytest.approx(other.coefficients, abs=1e-8)


def test_parallel_equal_and_dependent_inputs():
    relu = ww.MLP(2, "relu", 1.3, weight_law=EXPONENTIAL)
    x = np.array([[0.6, -1.0], [1.2, -2.0], [0.6, -1.0], [0.0, 0.0]])
    c = ww.output_cumulants(relu, x, order=3)
    base = c.cumulant((0, 0, 0)).coefficients
    assert c.cumulant((0, 1, 1)).coefficients == pytest.approx(4 * base, abs=1e-11)
    assert c.cumulant((0, 2, 2)).coefficients == pytest.approx(base, abs=1e-13)
    assert not c.cumulant((0, 0, 3)).coefficients.any()
    linear = ww.MLP(2, "identity", weight_law=EXPONENTIAL)
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]])
    c = ww.output_cumulants(linear, x, order=3)
    expected = c.cumulant((0, 0, 0, 1)).coefficients + 2 * c.cumulant((0, 0, 1, 1)).coefficients
    assert c.cumulant((0, 0, 1, 2)).coefficients == pytest.approx(expected, abs=1e-12)


def test_permuting_the_arguments_changes_nothing():
    c = ww.output_cumulants(ww.MLP(2, "tanh", 1.4, outputs=3), X2, order=2)
    one = c.cumulant((0, 1, 0, 1), (2, 2, 0, 0)).coefficients
    other = c.cumulant((1, 0, 1, 0), (0, 0, 2, 2)).coefficients
    assert one == pytest.approx(other, abs=1e-14)


def test_order_zero_is_the_infinite_width():
    net = ww.MLP(3, "erf", 1.4, 0.2, outputs=2)
    c = ww.output_cumulants(net, X2, order=0)
    limit = ww.limit_kernels(net, X2).nngp
    assert c.cumulant((0, 1)).coefficients == pytest.approx([limit[0, 1]], abs=1e-10)
    assert not c.cumulant((0, 1), (0, 1)).coefficients.any()
    assert not c.cumulant((0, 0, 1, 1)).coefficients.any()


def test_edgeworth_of_a_deep_network_against_simulation():
    """P(f ≤ z) of a linear network of two hidden layers, Gaussian: f | K ~ N(0, K)."""
    net, n = ww.MLP(2, "identity"), 16
    law = ww.edgeworth(ww.output_cumulants(net, [[1.0]], order=4))
    rng = np.random.default_rng(1)
    K = rng.chisquare(n, (2, 400_000)).prod(0) / n**2
    for z in (0.5, 1.0, 2.0):
        p = scipy.stats.norm.cdf(z / np.sqrt(K))
        error = p.std() / np.sqrt(len(p))
        assert abs(law.cdf(z, n) - p.mean()) < 4 * error + 2e-4
        assert abs(law.cdf(z, n, 0) - p.mean()) > 10 * error


def test_a_missing_moment_is_named():
    heavy = ww.laws.StudentT(5.0)
    net = ww.MLP(2, "tanh", weight_law=("gaussian", heavy, "gaussian"))
    assert coefficients(net, [[1.0]], (0, 0), order=2).coefficients[0] > 0
    with pytest.raises(ValueError, match=r"order 4 .* order 5 .* hidden layer 1.*no moment"):
        coefficients(net, [[1.0]], (0, 0), order=4)
    last = ww.MLP(2, "tanh", weight_law=("gaussian", "gaussian", heavy))
    assert coefficients(last, [[1.0]], (0,) * 4, order=4).coefficients[2] > 0
    with pytest.raises(ValueError, match=r"order 6 .* hidden layer 2"):
        coefficients(last, [[1.0]], (0,) * 6, order=4)


def test_too_much_is_refused_before_it_is_tried():
    net = ww.MLP(2, "tanh", weight_law="exponential")
    with pytest.raises(ValueError, match="take a lower order"):
        coefficients(net, np.eye(6), tuple(range(6)), order=8)


def test_moments_from_cumulants_by_the_definition():
    """The table recursion against joint cumulants computed from its own moments."""
    keys = tuple(k for r in (2, 3, 4, 5) for k in combinations_with_replacement((0, 1), r))
    table = monomials(keys, ((), ()), 3)
    rng, cumulants = np.random.default_rng(0), np.zeros((4, len(table)))
    for position, block in table.blocks:
        cumulants[0, position] = rng.normal() if len(block) > 1 or len(block[0]) > 2 else 0.3
    moments = table.moments(cumulants)[0]
    for position in range(1, len(table)):
        members = table.members[position, : table.degree[position]]

        def moment(block, members=members):
            return float(moments[table.find(members[list(block)][None])[0]])

        assert joint_cumulant(moment, len(members)) == pytest.approx(
            cumulants[0, position], abs=1e-12
        )


@pytest.mark.parametrize(
    "angle", [*(pytest.param(a, marks=pytest.mark.slow) for a in (1e-3, 1e-8)), 1e-4, 1e-6]
)
@pytest.mark.parametrize(
    "activation", ["tanh", pytest.param("gelu", marks=pytest.mark.slow), "relu"]
)
def test_near_parallel_inputs(activation, angle):
    """The cumulants are smooth in the angle; what cannot be told apart has a large error."""
    x = [[1.0, 0.0], [np.cos(angle), np.sin(angle)], [np.cos(0.03), np.sin(0.03)]]
    net = ww.MLP(2, activation, 1.2, 0.2, ("gaussian", "uniform", "uniform"), bias_law="uniform")
    c = ww.output_cumulants(net, x, order=4)
    same = c.cumulant((0, 0, 0, 0)).coefficients
    near = c.cumulant((0, 0, 1, 1))
    farther = c.cumulant((0, 0, 2, 2)).coefficients
    expected = same + (farther - same) * (angle / 0.03) ** 2
    slack = 3e-3 * angle * np.abs(same) + 1e-11 * np.abs(same).max()
    assert (np.abs(near.coefficients - expected) <= near.error + slack).all()
    if activation != "relu":
        assert (near.error <= 1e-8 * np.abs(same).max()).all()


@pytest.mark.parametrize(
    ("net", "orders"),
    [
        (ww.MLP(1, "tanh", 1.2, 0.3, "exponential", bias_law="uniform"), (1, 2, 3, 4)),
        (ww.MLP(2, "erf", 1.3, 0.0, "uniform"), (2, 4)),
    ],
)
def test_a_first_layer_expanded_in_its_own_width(net, orders):
    """Against the exact first layer of d = 2n inputs: the error falls as n^{-(P+1)/2}."""
    widths, tiles = (16, 64, 256), np.array([1.3, -0.4, 0.9, 1.6])
    truth, series = [], {}
    for n in widths:
        x = np.tile(tiles, n // 2)[None]
        exact = ww.output_cumulants(net, x, order=8).cumulant((0, 0))
        truth.append(exact.at(n))
        if n == widths[0]:
            for P in orders:
                c = ww.output_cumulants(net, x, order=P, input_ratio=2.0)
                series[P] = c.cumulant((0, 0))
    for P in orders:
        assert not series[P].exact
        errors = np.abs([series[P].at(n) - t for n, t in zip(widths, truth, strict=True)])
        symmetric = net.weight_law[0].symmetric
        rate = P / 2 + 1 if symmetric else (P + 1) / 2
        measured = np.log(errors[1] / errors[2]) / np.log(4)
        assert measured > rate - 0.25, (P, errors)


def test_a_bad_input_ratio_is_refused():
    with pytest.raises(ValueError, match="input_ratio"):
        ww.output_cumulants(ww.MLP(1, "tanh"), [[1.0]], input_ratio=-1.0)


@pytest.mark.parametrize("weight_std", [0.7, 1.0])
def test_an_activation_that_grows_exponentially(weight_std):
    """φ = exp, one input: κ₄ from E e^{rz} = e^{r²K/2}, whose integrand peaks at r√K."""
    K1 = weight_std**2
    K2 = weight_std**2 * np.exp(2 * K1)
    own = weight_std**4 * (np.exp(8 * K2) - np.exp(4 * K2))
    below = weight_std**4 * 4 * np.exp(4 * K2) * weight_std**4 * (np.exp(8 * K1) - np.exp(4 * K1))
    c = ww.output_cumulants(ww.MLP(2, "exp", weight_std), [[1.0]], order=2)
    series = c.cumulant((0, 0, 0, 0))
    assert series.coefficients[2] == pytest.approx(3 * (own + below), rel=1e-9)


def test_exponential_growth_that_no_rule_reaches_is_refused():
    with pytest.raises(ValueError, match="grows too fast"):
        coefficients(ww.MLP(2, "exp", 1.5), [[2.0]], (0, 0, 0, 0), order=2)


HEAVY = {"name": "student_t", "df": 5}


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (ww.MLP(1, "relu", weight_law=(HEAVY, "gaussian")), "weight law student_t"),
        (ww.MLP(2, "relu", weight_law=(HEAVY, "gaussian", "gaussian")), "weight law student_t"),
        (ww.MLP(2, "relu", 1.0, 0.2, bias_law=("gaussian", HEAVY, "gaussian")), "bias law"),
    ],
)
def test_an_infinite_moment_of_a_feature_is_refused(net, message):
    with pytest.raises(ValueError, match=f"has no mean: .* of the {message}"):
        coefficients(net, [[1.0]], (0,) * 6, order=4)
    bounded = ww.MLP(net.depth, "tanh", 1.0, net.bias_std, net.weight_law, net.bias_law)
    found = coefficients(bounded, [[1.0]], (0,) * 6, order=4)
    assert (found.error < 1e-6).all()


def test_heavy_tails_of_the_first_layer_are_not_cut_off():
    """E relu(z)⁴ = ½ E z⁴ for a Student t weight with five degrees of freedom: κ₄ = 204."""
    net = ww.MLP(1, "relu", 2**0.5, weight_law=(HEAVY, "gaussian"))
    series = ww.output_cumulants(net, [[1.0]], order=2).cumulant((0, 0, 0, 0))
    assert abs(series.coefficients[2] - 204) <= series.error[2]
    assert series.error[2] < 1e-3


def test_monomials_of_a_high_order_are_told_apart():
    table = monomials(tuple((0,) * r for r in range(2, 19)), ((),), 16)
    assert (table.find(table.members) == np.arange(len(table))).all()


def test_an_undeclared_kink_costs_digits_and_says_so():
    """Inputs close enough for derivatives of φ, which pass over a kink."""
    x, points = [[1.0, 0.2], [0.9, 0.4]], (0, 0, 1, 1)

    def hard(z):
        return jnp.clip(z, -1, 1)

    def series(activation):
        return ww.output_cumulants(ww.MLP(2, activation, 1.4), x, 4).cumulant(points)

    known = series(ww.activations.get(hard, kinks=(-1.0, 1.0)))
    found = series(ww.activations.get(hard))
    gap = np.abs(found.coefficients - known.coefficients)
    assert (gap <= found.error + known.error).all()
    assert (found.error <= 1e-3).all()


@pytest.mark.parametrize(
    "function", [ww.output_cumulants, ww.ntk_statistics, ww.kernel_corrections]
)
def test_what_is_not_a_network_is_refused(function, unchecked):
    with pytest.raises(ValueError, match=r"net must be a widthwise\.MLP.*got 'relu'"):
        function("relu", [[1.0]])
