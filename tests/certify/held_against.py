"""Every number of a certificate held against training, to times beyond those it speaks of.

What training itself is off by is relative to the certified movement S: gradient flow is integrated
in (θ - θ_0)/S, with a tolerance above the rounding of the residual. Nothing absolute hides a bound
that is small.
"""

import numpy as np
from scipy.integrate import solve_ivp

import widthwise as ww

SLACK = 1 + 1e-7
UNIT = 2.0**-53


def flow(model, times, scale, tolerance):
    """θ at some times, by DOP853 in units of ``scale``."""
    made = solve_ivp(
        lambda t, u: -np.asarray(model.gradient(model.start + scale * u), float) / scale,
        (0, times[-1]),
        np.zeros(len(model.start)),
        method="DOP853",
        t_eval=times,
        rtol=tolerance,
        atol=tolerance / len(model.start) ** 0.5,  # the solver's norm is a root mean square
    )
    assert made.success
    return model.start + scale * made.y.T


def descent(model, step, count, way=()):
    """The iterates of gradient descent, those in ``way`` given and not computed again."""
    number = model.start.dtype.type
    thetas = [np.asarray(theta, number) for theta in way] or [model.start]
    for _ in range(count + 1 - len(thetas)):
        thetas.append(thetas[-1] - number(step) * np.asarray(model.gradient(thetas[-1]), number))
    return np.array(thetas)


def hold(certificate, model, longest=300.0, way=()):
    """Train a model, and assert every certified number; what was seen of each.

    Args:
        certificate: one that holds.
        model: has ``start`` (flat parameters), ``labels``, ``residual``, ``gradient``, ``kernel``.
        longest: end of the flow in units of 1/λ_max, unless the certificate speaks of later times.
        way: the computed iterates up to its own, for a certificate that is not about the start.
    """
    assert certificate.holds
    assert certificate.from_start == (not len(way))
    theta0 = np.asarray(model.kernel(model.start), float)
    values, vectors = np.linalg.eigh(theta0)
    beta, S, since = float(values[-1]) ** 0.5, certificate.movement, certificate.since
    r0 = np.asarray(model.residual(model.start), float)
    size, flat = float(np.linalg.norm(r0)), float(np.linalg.norm(model.start))
    if certificate.dynamics == "flow":
        end = max(min(6 / values[0], longest / values[-1]), 1.3 * since)
        times = np.unique([0.0, *np.geomspace(end / 1e3, end, 16), *np.linspace(since, end, 4)])
        noise = 20 * UNIT * (size + 2 * np.linalg.norm(model.labels)) / size
        tolerance = float(max(1e-10, noise))
        thetas, off = flow(model, times, S, tolerance), 100 * tolerance
        decay = np.exp(-values * times[:, None])
    else:
        count = int(since) + 60
        times, thetas = np.arange(count + 1), descent(model, certificate.step, count, way)
        off = 4 * (count + 1) * float(np.finfo(model.start.dtype).eps) * flat / S
        decay = (1 - certificate.step * values) ** times[:, None]
    r = np.array([model.residual(theta) for theta in thetas], dtype=float)
    linear = (decay * (vectors.T @ r0)) @ vectors.T
    lost = off * 2 * beta * S + 40 * UNIT * (size + 2 * np.linalg.norm(model.labels))
    late = [theta for t, theta in zip(times, thetas, strict=True) if t >= certificate.ntk_since]
    changes = [
        np.linalg.norm(np.asarray(model.kernel(theta), float) - theta0, 2)
        for theta in late[:: max(1, len(late) // 12)]
    ]
    seen = {
        "movement": max(float(np.linalg.norm(theta - model.start)) for theta in thetas),
        "ntk_change": max(changes),
        "output_deviation": np.linalg.norm(r - linear, axis=1).max(),
    }
    assert seen["movement"] <= S * (SLACK + off)
    floor = 1e-13 * float(np.trace(theta0))
    assert seen["ntk_change"] <= certificate.ntk_change * (SLACK + off) + floor
    if certificate.output_deviation is not None:
        assert seen["output_deviation"] <= certificate.output_deviation * SLACK + lost
    _falls(certificate, times, np.linalg.norm(r, axis=1), lost)
    return seen | {"times": times, "residuals": r}


def _falls(certificate, times, sizes, lost):
    """The rate, from ``since`` on: there are always times to check."""
    after = times >= certificate.since
    assert after.sum() > 2
    t, sizes = times[after] - times[after][0], sizes[after]
    fast = np.exp(-certificate.rate * t)
    fall = fast if certificate.dynamics == "flow" else (1 - certificate.rate) ** t
    assert (sizes <= sizes[0] * fall * SLACK + lost).all()


def hold_against_limit(certificate, net, x, seen):
    """The distance from the infinite-width flow, at the times seen."""
    limit = np.kron(np.asarray(ww.limit_kernels(net, x).ntk), np.eye(net.outputs))
    values, vectors = np.linalg.eigh(limit)
    decay = np.exp(-values * seen["times"][:, None])
    wide = (decay * (vectors.T @ seen["residuals"][0])) @ vectors.T
    found = np.linalg.norm(seen["residuals"] - wide, axis=1).max()
    assert found <= certificate.limit_deviation * SLACK + 1e-9 * np.linalg.norm(wide[0])
    return found
