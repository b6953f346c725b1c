"""Divided differences of e^{−tλ} and (1 − ηλ)^k against their recursion at 120 digits."""

import mpmath
import numpy as np
import pytest

from widthwise.algebra.divided import descent_divided_differences, divided_differences


def recursion(derivative, nodes):
    """f[nodes] where derivative(x, d) = f^{(d)}(x)/d!, coincident nodes by derivatives."""
    nodes = sorted(mpmath.mpf(float(x)) for x in nodes)
    row = [derivative(x, 0) for x in nodes]
    for d in range(1, len(nodes)):
        row = [
            derivative(nodes[i], d)
            if nodes[i] == nodes[i + d]
            else (row[i + 1] - row[i]) / (nodes[i + d] - nodes[i])
            for i in range(len(nodes) - d)
        ]
    return row[0]


def exponential(t):
    return lambda x, d: (-mpmath.mpf(t)) ** d / mpmath.factorial(d) * mpmath.exp(-mpmath.mpf(t) * x)


def power(k, step):
    """The derivatives of (1 − ηλ)^k over d!."""
    eta = mpmath.mpf(step)

    def derivative(x, d):
        return mpmath.binomial(k, d) * (-eta) ** d * (1 - eta * x) ** (k - d) if d <= k else 0

    return derivative


def awkward_nodes(rng, largest, count):
    """Few distinct values, and others that differ from them by much, little, 1e-15 or nothing."""
    base = rng.choice([0.0, largest, *rng.uniform(0, largest, 3)], count)
    return base * (1 - rng.choice([0, 1e-15, 1e-9, 1e-4, 0.1], count))


@pytest.mark.parametrize("size", range(1, 8))
def test_flow_against_many_digits(size):
    rng = np.random.default_rng(size)
    for _ in range(60):
        nodes = awkward_nodes(rng, 10 ** rng.uniform(-4, 2), size)
        t = 10 ** rng.uniform(-3, 3)
        with mpmath.workdps(120):
            exact = recursion(exponential(t), nodes)
        value = float(divided_differences(t, nodes))
        assert value == pytest.approx(float(exact), rel=2e-13, abs=1e-290)


@pytest.mark.parametrize("size", range(1, 8))
def test_descent_against_many_digits(size):
    """Relative to the same polynomial of |1 − ηλ|, in which nothing cancels."""
    rng = np.random.default_rng(size)
    for k in (0, 1, 4, 6, 25, 26, 31, 100, 5000, 10**7):
        for top in (1e-3, 0.5, 1.0, 1.5, 1.999):
            step = 10 ** rng.uniform(-3, 0)
            nodes = awkward_nodes(rng, top / step, size)
            value = float(descent_divided_differences(k, nodes, step=step))
            if k < size - 1:
                assert value == 0
                continue
            with mpmath.workdps(120):
                exact = recursion(power(k, step), nodes)
                eta = mpmath.mpf(step)
                mirrored = [(1 - abs(1 - eta * mpmath.mpf(float(x)))) / eta for x in nodes]
                row = {}
                for d in range(size):
                    for i in range(size - d):
                        low, high = sorted(mirrored)[i], sorted(mirrored)[i + d]
                        row[i, d] = (
                            power(k, step)(low, d)
                            if low == high
                            else (row[i + 1, d - 1] - row[i, d - 1]) / (high - low)
                        )
                scale = abs(row[0, size - 1])
                assert abs(mpmath.mpf(value) - exact) <= 3e-13 * scale + mpmath.mpf(10) ** -290


def test_one_call_for_all_times_and_batches():
    nodes = np.random.default_rng(0).uniform(0, 3, (4, 5, 3))
    times = [0.0, 1.5, 80.0]
    together = divided_differences(times, nodes)
    assert together.shape == (3, 4, 5)
    for t, part in zip(times, together, strict=True):
        np.testing.assert_allclose(part, divided_differences(t, nodes), rtol=1e-14)
    steps = descent_divided_differences([0, 2, 90], nodes, step=0.5)
    assert steps.shape == (3, 4, 5)
    np.testing.assert_allclose(
        steps[2], descent_divided_differences(90, nodes, step=0.5), rtol=1e-14
    )


@pytest.mark.parametrize("size", [1, 2, 4, 6])
def test_limits_are_those_of_late_times(size):
    rng = np.random.default_rng(size)
    nodes = rng.uniform(0.5, 3.0, (2, size))
    nodes[1, size // 2] = 0.0
    limit = divided_differences(np.inf, nodes)
    np.testing.assert_allclose(limit, divided_differences(1000.0, nodes), rtol=1e-12, atol=1e-99)
    late = descent_divided_differences(10**5, nodes, step=0.5)
    np.testing.assert_allclose(
        descent_divided_differences(np.inf, nodes, step=0.5), late, rtol=1e-12, atol=1e-99
    )
    assert limit[0] == 0


def test_two_zero_nodes_grow_without_bound():
    nodes = np.array([[0.0, 0.0], [0.0, 0.0]])
    assert np.isneginf(divided_differences(np.inf, nodes)).all()
    assert np.isposinf(divided_differences(np.inf, np.array([0.0, 0.0, 2.0])))


def test_flow_is_descent_with_many_small_steps():
    nodes = np.array([0.3, 0.3, 1.1, 2.0])
    flow = divided_differences(2.0, nodes)
    small = descent_divided_differences(2 * 10**6, nodes, step=1e-6)
    assert float(small) == pytest.approx(float(flow), rel=1e-5)


def test_refusals_say_what_was_received():
    with pytest.raises(ValueError, match=r"times must be at least 0, got .*-1\.0"):
        divided_differences(-1.0, np.array([1.0]))
    with pytest.raises(ValueError, match=r"nodes must be at least 0, got .*-2\.0"):
        divided_differences(1.0, np.array([1.0, -2.0]))
    with pytest.raises(ValueError, match=r"below 2/λ = 1, got 1\.5"):
        descent_divided_differences(3, np.array([2.0]), step=1.5)
    with pytest.raises(ValueError, match="steps counts"):
        descent_divided_differences(2.5, np.array([1.0]), step=0.5)
