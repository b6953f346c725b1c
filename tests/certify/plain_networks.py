"""Networks and their training in plain numpy, an oracle that shares no code with the library."""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import erf, ndtr

_ROOT = np.sqrt(2 * np.pi)
ACTIVATIONS = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "erf": (erf, lambda z: 2 / np.sqrt(np.pi) * np.exp(-z * z)),
    "sin": (np.sin, np.cos),
    "softplus": (lambda z: np.logaddexp(0, z), lambda z: 0.5 * (1 + np.tanh(z / 2))),
    "gelu": (lambda z: z * ndtr(z), lambda z: ndtr(z) + z * np.exp(-z * z / 2) / _ROOT),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
}


class Plain:
    """f(x) of one network as a function of the flat parameters, any precision.

    Args:
        kind: name of the activation.
        layers: weights and biases (or ``None``), standardized.
        bias_std: scale of all biases; those of the weights are 1/√fan_in.
        x: points.
        y: labels (points, outputs).
        precision: of every number.
    """

    def __init__(self, kind, layers, bias_std, x, y, precision: type = np.float64):
        self.phi, self.slope = ACTIVATIONS[kind]
        self.shapes = [np.shape(layer.weight) for layer in layers]
        self.biased = [layer.bias is not None for layer in layers]
        self.precision = precision
        self.bias_std = precision(bias_std)
        self.x, self.y = np.asarray(x, precision), np.asarray(y, precision)
        parts = [
            np.asarray(part, precision).ravel()
            for layer in layers
            for part in layer
            if part is not None
        ]
        self.start = np.concatenate(parts)

    def _unpacked(self, theta):
        at, made = 0, []
        for (out, into), biased in zip(self.shapes, self.biased, strict=True):
            weight = theta[at : at + out * into].reshape(out, into)
            at += out * into
            made.append((weight, theta[at : at + out] if biased else None))
            at += out if biased else 0
        return made

    def _forward(self, theta):
        h, layers = self.x, self._unpacked(theta)
        features, preactivations = [h], []
        for l, (weight, bias) in enumerate(layers):
            z = (h @ weight.T) / np.sqrt(self.precision(weight.shape[1]))
            if bias is not None:
                z = z + self.bias_std * bias
            preactivations.append(z)
            if l + 1 < len(layers):
                h = self.phi(z)
                features.append(h)
        return layers, features, preactivations

    def residual(self, theta):
        """f - y, stacked."""
        return (self._forward(theta)[2][-1] - self.y).ravel()

    def _pulled(self, forward, g, sum_points):
        """Parts of Jᵀg; for each point alone or summed over points."""
        layers, features, preactivations = forward
        parts = []
        for l in reversed(range(len(layers))):
            weight, bias = layers[l]
            scale = 1 / np.sqrt(self.precision(weight.shape[1]))
            if sum_points:
                made = [scale * (g.T @ features[l])] + [self.bias_std * g.sum(0)] * (
                    bias is not None
                )
            else:
                made = [scale * g[:, :, None] * features[l][:, None, :]]
                made += [self.bias_std * g] * (bias is not None)
            parts = made + parts
            if l:
                g = scale * (g @ weight) * self.slope(preactivations[l - 1])
        return parts

    def gradient(self, theta):
        """Jᵀr."""
        forward = self._forward(theta)
        parts = self._pulled(forward, forward[2][-1] - self.y, True)
        return np.concatenate([part.ravel() for part in parts])

    def kernel(self, theta):
        """JJᵀ, rows in the order (point, output)."""
        forward = self._forward(theta)
        m, outputs = self.y.shape
        rows = []
        for o in range(outputs):
            g = np.zeros((m, outputs), self.precision)
            g[:, o] = 1
            parts = self._pulled(forward, g, False)
            rows.append(np.concatenate([part.reshape(m, -1) for part in parts], axis=1))
        J = np.stack(rows, axis=1).reshape(m * outputs, -1)
        return J @ J.T

    def flow(self, end, count=12):
        """θ at ``count`` times up to ``end``, by DOP853 at tight tolerance."""
        times = np.concatenate([[0], np.geomspace(end / 1e3, end, count)])
        made = solve_ivp(
            lambda t, theta: -self.gradient(theta),
            (0, end),
            self.start,
            method="DOP853",
            t_eval=times,
            rtol=1e-10,
            atol=1e-12,
        )
        return times, made.y.T

    def descent(self, step, count, way=()):
        """The iterates of gradient descent, those in ``way`` given and not computed again."""
        thetas = [np.asarray(theta, self.precision) for theta in way] or [self.start]
        for _ in range(count + 1 - len(thetas)):
            thetas.append(thetas[-1] - self.precision(step) * self.gradient(thetas[-1]))
        return np.arange(count + 1), np.array(thetas)


def assert_inside(certificate, plain, longest=300.0, way=()):
    """Train, and hold every certified number against what happened.

    A certificate that is not about the start needs the computed iterates up to its own, ``way``.
    """
    assert certificate.from_start == (not len(way))
    theta0 = np.asarray(plain.kernel(plain.start), float)
    values, vectors = np.linalg.eigh(theta0)
    flow = certificate.dynamics == "flow"
    if flow:
        end = min(max(6 / values[0], 1.3 * certificate.since), longest / values[-1])
        times, thetas = plain.flow(end)
        decay = np.exp(-values * times[:, None])
    else:
        times, thetas = plain.descent(certificate.step, int(certificate.since) + 60, way)
        decay = (1 - certificate.step * values) ** times[:, None]
    r = np.array([plain.residual(theta) for theta in thetas], dtype=float)
    linear = (decay * (vectors.T @ r[0])) @ vectors.T
    slack, floor = 1 + 1e-7, 1e-8 + 1e-10 * np.linalg.norm(r[0]) * np.linalg.norm(plain.start)
    movement = max(float(np.linalg.norm(theta - plain.start)) for theta in thetas)
    assert movement <= certificate.movement * slack + floor
    late = [theta for t, theta in zip(times, thetas, strict=True) if t >= certificate.ntk_since]
    for theta in late[:: max(1, len(late) // 12)]:
        change = np.linalg.norm(np.asarray(plain.kernel(theta), float) - theta0, 2)
        assert change <= certificate.ntk_change * slack + floor
    if certificate.output_deviation is not None:
        assert (
            np.linalg.norm(r - linear, axis=1).max() <= certificate.output_deviation * slack + floor
        )
    size, after = np.linalg.norm(r, axis=1), times >= certificate.since
    if after.sum() > 1:
        t, size = times[after] - times[after][0], size[after]
        fall = np.exp(-certificate.rate * t) if flow else (1 - certificate.rate) ** t
        assert (size <= size[0] * fall * slack + floor).all()
