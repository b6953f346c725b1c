"""The linear reference in intervals: fifty digits, worst cases of its rules, real training."""

import jax
import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import widthwise as ww
from certify.trained_networks import assert_sound, reference_parameters, sphere
from widthwise.certify import certify
from widthwise.certify.constants.ball import bounds_at
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior import linear as margins
from widthwise.certify.posterior.spectrum import Spectrum
from widthwise.certify.rigorous import linear
from widthwise.certify.rigorous.curvature import extremes_of, hessian_along, weighted_hessian
from widthwise.certify.rigorous.displaced import Displaced
from widthwise.certify.rigorous.flow import LinearFlow
from widthwise.certify.rigorous.intervals import exact, lower, upper
from widthwise.certify.rigorous.network import Verified

TANH, ERF = ww.MLP(1, "tanh"), ww.MLP(1, "erf")


class Exact:
    """A tanh network of one hidden layer without biases, at fifty digits."""

    def __init__(self, layers, x, y):
        mp = mpmath.mpf
        weight, readout = layers[0].weight, layers[1].weight[0]
        c0, c1 = (mp(float(1 / np.sqrt(size))) for size in (weight.shape[1], len(weight)))
        self.c1, self.inputs = c1, [[c0 * mp(v) for v in point] for point in x]
        self.weight, self.readout = weight.tolist(), readout.tolist()
        z = [[_dot(row, point) for row in self.weight] for point in self.inputs]
        self.h = [[mpmath.tanh(v) for v in row] for row in z]
        self.slope = [[1 - v**2 for v in row] for row in self.h]
        self.bend = [[-2 * v * (1 - v**2) for v in row] for row in self.h]
        self.r = [c1 * _dot(self.readout, h) - mp(v) for h, v in zip(self.h, y, strict=True)]
        rows = [
            [c1 * mp(a) * s * p for a, s in zip(self.readout, slope, strict=True) for p in point]
            + [c1 * v for v in h]
            for slope, point, h in zip(self.slope, self.inputs, self.h, strict=True)
        ]
        self.J, self.r = mpmath.matrix(rows), mpmath.matrix(self.r)

    def block(self, u, k):
        """The block of neuron k of Σ u_i H_i."""
        d = len(self.inputs[0])
        made = mpmath.matrix(d + 1, d + 1)
        for i, point in enumerate(self.inputs):
            bent = self.c1 * mpmath.mpf(self.readout[k]) * mpmath.mpf(u[i]) * self.bend[i][k]
            for p in range(d):
                for q in range(d):
                    made[p, q] += bent * point[p] * point[q]
                made[p, d] += self.c1 * mpmath.mpf(u[i]) * self.slope[i][k] * point[p]
        for p in range(d):
            made[d, p] = made[p, d]
        return made

    def weighted(self, u):
        """The lowest and the largest eigenvalue in size of Σ u_i H_i."""
        values = [
            value
            for k in range(len(self.readout))
            for value in mpmath.eigsy(self.block(u, k), eigvals_only=True)
        ]
        return min(values), max(map(abs, values))

    def along(self, direction):
        """|D²f[·, v]|."""
        rows, n = [], len(self.readout)
        for i in range(len(self.inputs)):
            unit = [float(i == j) for j in range(len(self.inputs))]
            row = []
            for k in range(n):
                v = [*direction[0].weight[k].tolist(), float(direction[1].weight[0, k])]
                row += list(self.block(unit, k) * mpmath.matrix(v))
            rows.append(row)
        B = mpmath.matrix(rows)
        return mpmath.sqrt(_spectral(B * B.T))


def _dot(one, other):
    return mpmath.fsum(mpmath.mpf(a) * b for a, b in zip(one, other, strict=True))


def _spectral(matrix):
    return max(abs(value) for value in mpmath.eigsy(matrix, eigvals_only=True))


def _size(vector):
    return mpmath.norm(vector)


def _vector(array):
    return mpmath.matrix(array.tolist())


def problem(points, inputs, width, seed=3):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(points, inputs)), rng.normal(size=points)
    layers = (
        ww.Layer(rng.normal(size=(width, inputs)), None),
        ww.Layer(rng.normal(size=(1, width)), None),
    )
    return layers, x, y


def assert_just_above(bound, value, slack):
    assert mpmath.mpf(upper(bound)) >= value
    assert upper(bound) <= float(value) * (1 + slack) + slack


def flow_of(exact_network):
    """r_lin and ∫ r_lin as functions of time, from eigenvectors at fifty digits."""
    theta = exact_network.J * exact_network.J.T
    values, vectors = mpmath.eigsy(theta)
    c = vectors.T * exact_network.r

    def residual(t):
        decayed = [mpmath.exp(-v * t) * a for v, a in zip(values, c, strict=True)]
        return vectors * mpmath.matrix(decayed)

    def integral(t):
        grown = [-mpmath.expm1(-v * t) / v * a for v, a in zip(values, c, strict=True)]
        return vectors * mpmath.matrix(grown)

    return residual, integral


@pytest.mark.parametrize(("points", "inputs", "width"), [(4, 3, 6), (1, 2, 3), (3, 2, 40)])
def test_the_linear_flow_is_enclosed(points, inputs, width):
    layers, x, y = problem(points, inputs, width)
    with mpmath.workdps(50):
        truth = Exact(layers, x, y)
        network = Verified.of(evaluate(TANH, layers, x, y[:, None]))
        flow, (residual, integral) = LinearFlow(network), flow_of(truth)
        times = (0.0, 0.37, 25.0)
        moments = [flow.at(t) for t in times]
        for t, moment in zip(times, moments, strict=True):
            assert _size(_vector(moment.residual) - residual(t)) <= upper(moment.error) < 1e-10
            assert _size(_vector(moment.preimage) - integral(t)) <= upper(moment.preimage_error)
            assert_just_above(moment.size, _size(residual(t)), 1e-10)
            assert_just_above(moment.gradient, _size(truth.J.T * residual(t)), 1e-10)
            assert_just_above(flow.displacement(moment), _size(truth.J.T * integral(t)), 1e-8)
        for one, other in ((0, 1), (1, 2), (0, 2)):
            change = residual(times[one]) - residual(times[other])
            turn, turn_gradient = flow.turn(moments[one], moments[other])
            assert_just_above(turn, _size(change), 1e-10)
            assert_just_above(turn_gradient, _size(truth.J.T * change), 1e-10)
            moved = truth.J.T * (integral(times[one]) - integral(times[other]))
            assert_just_above(flow.way(moments[one], moments[other]), _size(moved), 1e-8)
        assert_just_above(flow.displacement(), _size(truth.J.T * integral(mpmath.inf)), 1e-8)


def test_no_eigenvector_is_trusted(monkeypatch):
    """Eigenpairs off by 1e-3: wider bounds, and still bounds, of sizes of either sign of error."""
    layers, x, y = problem(3, 2, 40)
    network = Verified.of(evaluate(TANH, layers, x, y[:, None]))
    with mpmath.workdps(50):
        truth = Exact(layers, x, y)
        residual, integral = flow_of(truth)
        solver = np.linalg.eigh
        for seed in range(4):
            off = 1e-3 * np.random.default_rng(seed).normal(size=(4, 3))

            def wrong(matrix, off=off):
                values, vectors = solver(matrix)
                return values * (1 + off[3]), vectors + off[:3]

            monkeypatch.setattr(np.linalg, "eigh", wrong)
            flow = LinearFlow(network)
            for unit in np.eye(3):
                coordinates = [exact(value) for value in unit]
                vector = mpmath.matrix((flow._vectors @ unit).tolist())
                assert _size(vector) <= upper(flow._norm(coordinates))
                assert _size(truth.J.T * vector) <= upper(flow._pulled(coordinates))
            for t in (0.0, 0.37, 25.0):
                moment, r, way = flow.at(t), residual(t), truth.J.T * integral(t)
                assert _size(_vector(moment.residual) - r) <= upper(moment.error) < 0.1
                gap = _size(_vector(moment.preimage) - integral(t))
                assert gap <= upper(moment.preimage_error)
                assert _size(r) <= upper(moment.size)
                assert _size(truth.J.T * r) <= upper(moment.gradient)
                assert _size(way) <= upper(flow.displacement(moment))


@pytest.mark.parametrize("scale", [1e-3, 1.0])
def test_matrices_of_a_displaced_network_enclose_fifty_digits(scale):
    layers, x, y = problem(3, 2, 8)
    start = evaluate(TANH, layers, x, y[:, None])
    v = scale * np.array([0.3, -1.0, 0.4])
    at = start.moved(start.pull(v))
    here, there = Verified.of(at), Verified.of(start)
    node = Displaced(here, there, exact(0.0), exact(0.0))
    u = np.array([1.0, 0.5, -0.7])
    moved = ww.Layer(at.blocks[0].weight, None), ww.Layer(at.blocks[1].weight, None)
    with mpmath.workdps(50):
        before, after = Exact(layers, x, y), Exact(moved, x, y)
        E, mp_u = after.J - before.J, _vector(u)
        theta, theta0 = after.J * after.J.T, before.J * before.J.T
        smallest = mpmath.eigsy(theta, eigvals_only=True)[0]
        assert lower(node.sigma) <= mpmath.sqrt(smallest) < lower(node.sigma) * (1 + 1e-8)
        assert_just_above(node.beta, mpmath.sqrt(_spectral(theta)), 1e-10)
        assert_just_above(node.jacobian_size, mpmath.sqrt(_spectral(E * E.T)), 1e-6)
        assert_just_above(node.change_size, _spectral(theta - theta0), 1e-10)
        assert_just_above(node.jacobian_change(u), _size(E.T * mp_u), 1e-6)
        assert_just_above(node.forward_change(u), _size(E * (before.J.T * mp_u)), 1e-10)
        assert_just_above(node.kernel_change(u), _size((theta - theta0) * mp_u), 1e-10)


@pytest.mark.parametrize(("points", "inputs"), [(4, 2), (3, 5)], ids=["few inputs", "many inputs"])
def test_hessians_enclose_fifty_digits(points, inputs):
    """More inputs than points are replaced by coordinates, whose error counts."""
    layers, x, y = problem(points, inputs, 5)
    at = evaluate(TANH, layers, x, y[:, None])
    u = np.random.default_rng(1).normal(size=points)
    direction = at.pull(u)
    with mpmath.workdps(50):
        truth = Exact(layers, x, y)
        found = weighted_hessian(Verified.of(at), u)
        assert found is not None
        lowest, largest = truth.weighted(u)
        assert_just_above(found.negative, -lowest, 1e-6)
        assert_just_above(found.largest, largest, 1e-6)
        assert_just_above(hessian_along(at, direction), truth.along(direction), 1e-6)


def test_wrong_coordinates_of_many_inputs_are_paid_for(monkeypatch):
    layers, x, y = problem(3, 5, 5)
    at = evaluate(TANH, layers, x, y[:, None])
    u = np.random.default_rng(1).normal(size=3)
    monkeypatch.setattr(
        np.linalg, "qr", lambda rows, made=np.linalg.qr: (None, 0.9 * made(rows)[1])
    )
    found = weighted_hessian(Verified.of(at), u)
    assert found is not None
    with mpmath.workdps(50):
        lowest, largest = Exact(layers, x, y).weighted(u)
        assert -lowest <= upper(found.negative)
        assert largest <= upper(found.largest)


def test_the_largest_of_many_blocks():
    """Equal blocks, tiny blocks, one that is 0, more than a chunk; not finite: no bound."""
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(300, 3, 3))
    blocks = blocks + blocks.transpose(0, 2, 1)
    blocks[7] = blocks[9] = np.diag([0.0, 0.0, -30.0])
    blocks[0], blocks[1] = 0.0, 1e-200
    found = extremes_of(blocks)
    assert 30.0 < upper(found.negative) < 30.0 * (1 + 1e-12)
    assert upper(found.negative) <= upper(found.largest) < 30.0 * (1 + 1e-12)
    top = np.linalg.eigvalsh(blocks).max()
    turned = extremes_of(-blocks)
    assert top < upper(turned.negative) < top * (1 + 1e-12)
    assert 30.0 < upper(turned.largest) < 30.0 * (1 + 1e-12)
    assert upper(extremes_of(np.diag([1.0, 2.0])[None]).negative) < 1e-13
    assert 0 < upper(extremes_of(np.zeros((2, 3, 3))).largest) < 1e-280
    blocks[2, 0, 0] = np.inf
    assert extremes_of(blocks) is None


@pytest.mark.parametrize("seed", range(6))
def test_step_rules_bound_the_worst_case(seed):
    """The extremal equations N' = min(sup_x (-x² + xP)/N + Q, -a²N + G), W' likewise, solved."""
    rng = np.random.default_rng(seed)
    N, a, P, Q, G, h = np.exp(rng.normal(-1.0, 1.5, size=6))

    def rhs(t, state):
        n, w = np.maximum(state, 1e-9)
        x, v = max(a * n, P / 2), max(a * w, P / 2)
        return [min((x * P - x * x) / n + Q, G - a * a * n), (v * P - v * v) / w]

    made = solve_ivp(
        rhs, (0, h), [N, N], method="LSODA", rtol=1e-10, atol=1e-12, t_eval=np.linspace(0, h, 99)
    )
    numbers = (exact(float(value)) for value in (N, a, P, Q, G, h))
    end, highest = linear._residual(*numbers)
    last, widest = linear._range(*(exact(float(value)) for value in (N, a, P, h)))
    for i, (at_end, largest) in enumerate(((end, highest), (last, widest))):
        assert made.y[i, -1] <= upper(at_end) * (1 + 1e-8)
        assert made.y[i].max() <= upper(largest) * (1 + 1e-8)
        assert upper(largest) <= 3 * made.y[i].max() + 2 * h * Q


def comfortable(outputs=1, bias=0.0, kind="tanh", inputs=2, width=400, points=3):
    rng = np.random.default_rng(2)
    net = ww.MLP(1, kind, bias_std=[bias, bias / 2], outputs=outputs)
    x, parameters = rng.normal(size=(points, inputs)), net.init(jax.random.key(0), width, inputs)
    noise = 0.05 * rng.normal(size=(points, outputs))
    y = np.asarray(net.apply(parameters, x)).reshape(points, outputs) + noise
    return net, parameters, x, y


@pytest.mark.parametrize(
    "case",
    [
        {"points": 2, "width": 1000, "outputs": 2, "bias": 0.5},
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"outputs": 2, "bias": 0.5}, marks=pytest.mark.slow),
        pytest.param({"inputs": 6, "kind": "erf"}, marks=pytest.mark.slow),
        pytest.param({"kind": "gelu", "bias": 0.3}, marks=pytest.mark.slow),
    ],
    ids=["coarse grid", "plain", "two outputs with biases", "many inputs", "gelu"],
)
def test_the_same_verdict_as_with_margins(case, monkeypatch):
    """Never looser by more than a thousandth. Tighter by what margins pay twice: L times the way
    between the times, squared, and the floor of the Gram differences.

    The theorem holds on any grid of times; the first case takes a coarse one.
    """
    coarse = "points" in case
    if coarse:
        monkeypatch.setattr(margins, "_RATIO", 0.3)
    net, parameters, x, y = comfortable(**case)
    at = evaluate(net, parameters, x, y)
    made = certify(net, parameters, x, y, "linear_reference", arithmetic="interval")
    rival = margins.certify_linear_reference(at, bounds_at(at), Spectrum.of(at))
    assert made.holds
    assert rival.holds
    assert made.rate == pytest.approx(rival.rate, rel=3e-3)
    assert made.since == pytest.approx(rival.since, rel=1e-9)
    for name in ("movement", "ntk_change", "output_deviation"):
        bound, other = getattr(made, name), getattr(rival, name)
        assert (0.8 if coarse else 0.96) * other < bound < 1.001 * other, name
    assert made.limit_deviation is None
    assert "outward-rounded intervals" in made.assumption
    assert_sound(net, parameters, x, y, made)


def test_what_is_too_narrow_is_refused():
    """A network that leaves its linear flow; one neuron for three points; a point given twice."""
    x, y = sphere(3, 3)
    made = certify(
        ERF, reference_parameters(24, 3), x, y, "linear_reference", arithmetic="interval"
    )
    assert not made.holds
    assert made.reason.startswith("in interval arithmetic, the tube around the linear flow")
    assert made.reason.endswith("a wider network or smaller labels may do")
    assert not made.hypotheses[-1].holds
    rival = certify(ERF, reference_parameters(24, 3), x, y, "linear_reference")
    assert not rival.hypotheses[-1].holds
    few = np.concatenate([x, -x[:1] + 0.1])[:, :2], np.append(y, 1.0)
    one = certify(ERF, reference_parameters(1, 2), *few, arithmetic="interval")
    assert not one.holds
    assert "3 parameters cannot fit 4 numbers" in one.reason
    twice, labels = np.concatenate([x, x[:1]]), np.append(y, y[0] + 1e-9)
    made = certify(
        ERF, reference_parameters(400, 3), twice, labels, "linear_reference", arithmetic="interval"
    )
    assert not made.holds
    assert made.least_loss > 0
    twice[3, 0] *= 1 + 1e-13
    near = certify(
        ERF, reference_parameters(400, 3), twice, labels, "linear_reference", arithmetic="interval"
    )
    assert not near.holds
    assert "not certified positive" in near.reason


def test_a_flow_that_is_not_enclosed_is_refused(monkeypatch):
    net, parameters, x, y = comfortable(points=1, width=3)
    network = Verified.of(evaluate(net, parameters, x, y))
    monkeypatch.setattr(LinearFlow, "settles", False)
    assert "not enclosed" in linear.linear_reference_in_intervals(network).reason
