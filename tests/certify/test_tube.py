"""The flow tube: its defect against the curve, and networks narrower than the linear regime."""

import numpy as np
import pytest

import widthwise as ww
from certify.held_against import hold
from certify.plain_networks import Plain
from certify.trained_networks import reference_parameters, sphere
from widthwise.certify.constants.shallow import ShallowBounds
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior.curve import (
    Around,
    advance,
    defect,
    gradient_error,
    node,
    second_derivative,
)
from widthwise.certify.posterior.spectrum import Spectrum
from widthwise.certify.posterior.tube import Unfollowed, certify_trajectory, laid

ERF = ww.MLP(1, "erf")


def flat(blocks):
    return np.concatenate([part.ravel() for block in blocks for part in block if part is not None])


def test_defect_between_the_points_of_the_curve():
    """The cubic is built by itself here, its defect measured with an independent gradient."""
    x, y = sphere(5, 5)
    parameters = reference_parameters(12, 5)
    plain = Plain("erf", parameters, 0.0, x, y[:, None])
    at = evaluate(ERF, parameters, x, y[:, None])
    start, bounds = node(at), ShallowBounds(at)
    sizes = []
    for s in (0.02, 0.002):
        end, arc = advance(start, s)
        a, b = flat(start.at.blocks), flat(end.at.blocks)
        pa, pb = -flat(start.gradient) * s, -flat(end.gradient) * s
        taus = np.linspace(0, 1, 21)
        seen, bend = [], []
        for u in taus:
            point = (
                (2 * u**3 - 3 * u**2 + 1) * a
                + (u**3 - 2 * u**2 + u) * pa
                + (3 * u**2 - 2 * u**3) * b
                + (u**3 - u**2) * pb
            )
            slope = 6 * (u**2 - u) * (a - b) + (3 * u**2 - 4 * u + 1) * pa + (3 * u**2 - 2 * u) * pb
            second = (12 * u - 6) * (a - b) + (6 * u - 4) * pa + (6 * u - 2) * pb
            seen.append(np.linalg.norm(slope / s + plain.gradient(point)))
            bend.append(np.linalg.norm(second) / s**2)
            assert np.linalg.norm(slope) / s <= arc.speed
        assert max(bend) <= arc.bend <= 1.5 * max(bend)
        spectrum = Spectrum.of(at)
        L, L3 = bounds.jacobian(arc.length), bounds.hessian(arc.length)
        beta = spectrum.beta + L * arc.length
        size = spectrum.size + beta * arc.length
        around = Around(L, L3, beta, size, L * size, 1e-13)
        limit = s**2 * taus * (1 - taus) / 2 * second_derivative(arc, around)
        assert (np.array(seen) <= limit + 1e-12).all()
        assert np.trapezoid(seen, taus * s) <= defect(arc, around)
        sizes.append(defect(arc, around))
    assert sizes[0] / sizes[1] == pytest.approx(1000, rel=0.2)


def test_rounding_of_gradients_is_bounded_at_every_point():
    """Against extended precision along a curve on which residual and gradient fall.

    The bound is the largest over the points: it holds at each, and one point alone does not do.
    """
    x, y = sphere(3, 3)
    net, parameters = ww.MLP(1, "tanh"), reference_parameters(16, 3)
    exact = Plain("tanh", parameters, 0.0, x, y[:, None], np.longdouble)
    points = [node(evaluate(net, parameters, x, y[:, None]))]
    for _ in range(24):
        points.append(advance(points[-1], 2.0)[0])
    beta = max(Spectrum.of(point.at).beta for point in points)
    whole, seen = gradient_error([point.at for point in points], beta), []
    for point in points:
        theta = flat(point.at.blocks).astype(np.longdouble)
        error = np.linalg.norm((flat(point.gradient) - exact.gradient(theta)).astype(float))
        assert error <= gradient_error([point.at], beta) <= whole
        seen.append(error)
    assert whole > gradient_error([points[-1].at], beta)
    assert whole < 1e4 * max(seen)


def test_networks_narrower_than_the_linear_regime():
    x, y = sphere(5, 5)
    parameters = reference_parameters(8, 5)
    at = evaluate(ERF, parameters, x, y[:, None])
    made = certify_trajectory(at, ShallowBounds(at), Spectrum.of(at))
    assert made.holds
    panels = int(made.reason.split("(")[1].split(" panels")[0])
    assert panels <= 81
    hold(made, Plain("erf", parameters, 0.0, x, y[:, None]))


def test_arcs_are_not_made_shorter_than_rounding():
    """Their cubic would be known less and less, and they would shrink without end."""
    x, y = sphere(3, 3)
    at = evaluate(ERF, reference_parameters(12, 3), x, y[:, None])
    bounds, spectrum = ShallowBounds(at), Spectrum.of(at)
    assert len(laid(node(at), 0.0, bounds, spectrum, 1e-3)[1]) >= 2
    with pytest.raises(Unfollowed, match="as short as the rounding"):
        laid(node(at), 0.0, bounds, spectrum, 1e-17)


def digits(m):
    from sklearn.datasets import load_digits

    data = load_digits(n_class=2)
    rows = np.random.default_rng(0).permutation(len(data.target))[:m]
    x = data.data[rows]
    return 8 * x / np.linalg.norm(x, axis=1)[:, None], 2.0 * data.target[rows] - 1


def diabetes(m):
    from sklearn.datasets import load_diabetes

    data = load_diabetes()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    y = (data.target - data.target.mean()) / data.target.std()
    rows = np.random.default_rng(0).permutation(len(y))[:m]
    return x[rows], y[rows]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "n", "panels"),
    [
        (lambda: sphere(10, 5), 32, 200),
        (lambda: digits(10), 64, 290),
        (lambda: digits(10), 32, 290),
        (lambda: sphere(20, 10), 256, 195),
        (lambda: diabetes(10), 256, 300),
        (lambda: diabetes(10), 64, 300),
    ],
)
def test_published_cases(data, n, panels):
    """Eigenvalue decompositions (panels): at most a tenth of those of the first-order tube.

    That one takes 1951 to 14735 steps with one each. A panel has up to 128 arcs of the curve, so
    that arcs far outnumber panels.
    """
    x, y = data()
    parameters = reference_parameters(n, x.shape[1])
    at = evaluate(ERF, parameters, x, y[:, None])
    made = certify_trajectory(at, ShallowBounds(at), Spectrum.of(at))
    assert made.holds
    assert int(made.reason.split("(")[1].split(" panels")[0]) <= panels
    hold(made, Plain("erf", parameters, 0.0, x, y[:, None]))
