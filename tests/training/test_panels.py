"""Radau panels against closed forms: integrals, and the Volterra equation of the linear flow."""

import numpy as np
import pytest
from scipy.integrate import quad

from widthwise.algebra.divided import divided_differences
from widthwise.training.neurons.panels import panels, radau

VALUES = np.array([0.0, 1e-9, 0.05, 0.7, 25.0, 400.0])
RESPONSE = np.array([[0.0, 0.0, 0.3, -0.2, 1.0, 2.0]])
TIMES = np.array([2.0, 0.1, 0.5])


@pytest.mark.parametrize("stages", [1, 2, 3, 6])
def test_radau_rules_integrate_polynomials(stages):
    x, C = radau(stages)
    assert x[-1] == 1
    for power in range(stages):
        assert C @ x**power == pytest.approx(x ** (power + 1) / (power + 1), abs=1e-13)
    # the weights, the last row, have the degree 2c − 2 of Radau's quadrature
    for power in range(2 * stages - 1):
        assert C[-1] @ x**power == pytest.approx(1 / (power + 1), abs=1e-13)


def test_two_stage_radau_is_the_textbook_one():
    x, C = radau(2)
    assert x == pytest.approx(np.array([1 / 3, 1]))
    assert pytest.approx(np.array([[5 / 12, -1 / 12], [3 / 4, 1 / 4]])) == C


@pytest.mark.parametrize(("stages", "growth", "tolerance"), [(4, 2.5, 2e-4), (8, 2.0, 1e-9)])
def test_response_to_decaying_forcings(stages, growth, tolerance):
    """A forcing rate e^{−μs} of row i is answered by −e_t[λ_i, μ], and through Θ_{*X} on tests."""
    grid = panels(VALUES, RESPONSE, TIMES, stages=stages, growth=growth)
    assert grid.nodes[grid.ends, -1] == pytest.approx(TIMES)
    mu, m = 3.0, len(VALUES)
    rate = np.exp(-mu * grid.nodes)
    own = grid.respond(grid.integrate(rate[..., None, None] * np.eye(m + 1)))[grid.ends, -1]
    for t, rows in zip(TIMES, own, strict=True):
        nodes = np.stack([VALUES, np.full(m, mu)], -1)
        train = -divided_differences(t, nodes)
        assert np.diag(rows)[:m] == pytest.approx(train, abs=tolerance)
        assert rows[:m, :m] - np.diag(np.diag(rows)[:m]) == pytest.approx(np.zeros((m, m)))
        through = np.stack([np.zeros(m), VALUES, np.full(m, mu)], -1)
        test = -RESPONSE[0] * divided_differences(t, through)
        assert rows[:m, m] == pytest.approx(test, abs=tolerance)
        assert rows[m, m] == pytest.approx(quad(lambda s: np.exp(-mu * s), 0, t)[0], abs=tolerance)


def test_train_rows_do_not_need_the_test_rows():
    grid = panels(VALUES, RESPONSE, TIMES, stages=4, growth=2.5)
    forcing = np.random.default_rng(0).normal(size=(*grid.nodes.shape, 3, len(VALUES) + 1))
    alone = grid.respond(forcing[..., :-1])
    assert alone == pytest.approx(grid.respond(forcing)[..., :-1], abs=1e-12)


def test_a_kernel_of_zeros_needs_one_panel_per_time():
    grid = panels(np.zeros(2), np.zeros((0, 2)), np.array([1.0, 3.0]), stages=3, growth=2.5)
    assert grid.nodes.shape == (2, 3)
    assert grid.integrate(np.ones((2, 3)))[:, -1] == pytest.approx(np.array([1.0, 3.0]))
