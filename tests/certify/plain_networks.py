"""Networks and their training in plain numpy, an oracle that shares no code with the library."""

import numpy as np
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
        self.start, self.labels = np.concatenate(parts), self.y

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
