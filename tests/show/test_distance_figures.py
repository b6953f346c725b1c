"""Figures of the distance: what is drawn, and what is left out."""

import numpy as np

from widthwise.show import figures

WIDTHS, TIMES = np.array([32, 128, 512]), np.array([0.0, 1.0, np.inf])
PREDICTED = np.outer([0.3, 0.1, 0.2], WIDTHS**-0.5)


def test_distance_against_width_holds_bounds_prediction_and_networks():
    measured, error = 1.1 * PREDICTED, 0.1 * PREDICTED
    measured[2] = np.nan
    figure = figures.distance_in_width(
        WIDTHS, TIMES, PREDICTED, measured, error, 5 * PREDICTED, 0.2 * PREDICTED
    )
    names = [trace.name or "" for trace in figure.data]
    assert names.count("prediction") == 3
    assert names.count("certified upper bound") == 3
    assert [name for name in names if name.startswith("networks")] == [
        "networks, t = 0",
        "networks, t = 1",
    ]
    shown = [trace.name for trace in figure.data if trace.showlegend]
    assert len(shown) == len(set(shown)) == 5
    networks = next(trace for trace in figure.data if trace.name == "networks, t = 1")
    np.testing.assert_allclose(networks.y, measured[1])
    np.testing.assert_allclose(networks.error_y.array, error[1])
    low, high = 10.0 ** np.array(figure.layout.yaxis.range)
    assert low < 0.2 * PREDICTED.min()
    assert high > 5 * PREDICTED.max()


def test_distance_in_time_has_a_place_for_zero_and_infinity():
    figure = figures.distance_in_time(TIMES, WIDTHS, PREDICTED.T)
    assert list(figure.layout.xaxis.ticktext) == ["0", "1", "∞"]
    assert figure.layout.xaxis.type is None  # equal steps, not logarithmic
    np.testing.assert_allclose(figure.data[0].y, PREDICTED[:, 0])
    assert {trace.text[0] for trace in figure.data if trace.mode == "text"} == {
        "n = 32",
        "n = 128",
        "n = 512",
    }
