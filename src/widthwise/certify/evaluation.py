"""A network and its derivative at one value of the parameters, with bounds of the rounding errors.

In the coordinates in which training is plain gradient descent (learning rates absorbed in the
scales c_l of weights and s_l of biases),

    z^{l+1} = c_l W^l h^l + s_l b^l,   h^0 = x,   h^l = φ(z^l),   f = z^{L+1},

and the rows of the Jacobian J belong to (point, output) in this order, each times the root of the
point's multiplicity. With g^l = ∂f/∂z^l,

    JJᵀ = Σ_l (g^l_i · g^l_j) (c_l² h^l_i · h^l_j + s_l²).

Rounding, in units u = 2^-53 and γ_n = nu/(1 - nu): an inner product of n terms is off by at most
γ_n times that of the absolute values, an activation by 64u times the size of its argument and
value; both are propagated entry by entry, forward and backward, into |δf| and |δJ|_F.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.certify.constants.smoothness import Smoothness, smoothness
from widthwise.finite.ntk.perceptron import width_of
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP, Parameters

UNIT = 2.0**-53
SAFE = 1 + 1e-9
"""Outward factor on scalars: far above the rounding of the few thousand operations in them."""
_ACTIVATION = 64 * UNIT


class Block(NamedTuple):
    """Weights and biases of one layer, or a direction in them."""

    weight: np.ndarray
    bias: np.ndarray | None


@lru_cache(maxsize=64)
def _derivatives(activation: Activation):
    orders = (activation.function, activation.derivative(1), activation.derivative(2))
    return jax.jit(lambda z: tuple(order(z) for order in orders))


@dataclass(frozen=True, eq=False)
class Problem:
    """What stays the same along training: data, scales, activation."""

    activation: Activation
    bounds: Smoothness
    x: Float[np.ndarray, "points inputs"]
    y: Float[np.ndarray, "points outputs"]
    root: Float[np.ndarray, " points"]
    scales: tuple[float, ...]
    bias_scales: tuple[float, ...]

    @property
    def depth(self) -> int:
        """Hidden layers."""
        return len(self.scales) - 1

    @property
    def rows(self) -> int:
        """Rows of the Jacobian: points times outputs."""
        return self.y.size


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The network at ``blocks``; everything else follows and is computed when asked for."""

    problem: Problem
    blocks: tuple[Block, ...]

    @cached_property
    def _forward(self) -> tuple[list[np.ndarray], list[tuple[np.ndarray, ...]], np.ndarray]:
        p, h = self.problem, self.problem.x
        features, local = [h], []
        for l, (weight, bias) in enumerate(self.blocks):
            z = p.scales[l] * (h @ weight.T)
            if bias is not None:
                z = z + p.bias_scales[l] * bias
            if l == p.depth:
                return features, local, z
            value, slope, curvature = map(np.asarray, _derivatives(p.activation)(jnp.asarray(z)))
            local.append((z, slope, curvature))
            features.append(value)
            h = value
        raise AssertionError("a network ends with its readout")

    @property
    def features(self) -> list[np.ndarray]:
        """h^0 = x, h^1, …, h^L, each (points, width)."""
        return self._forward[0]

    def preactivation(self, l: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """z, φ'(z), φ''(z) of hidden layer l + 1."""
        return self._forward[1][l]  # pyright: ignore[reportReturnType]

    @property
    def outputs(self) -> Float[np.ndarray, "points outputs"]:
        """f, without multiplicities."""
        return self._forward[2]

    @cached_property
    def residual(self) -> Float[np.ndarray, " rows"]:
        """r: outputs less labels, stacked, times the roots of the multiplicities."""
        return (self.problem.root[:, None] * (self.outputs - self.problem.y)).ravel()

    @cached_property
    def backward(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """∂f/∂h^l and ∂f/∂z^l for hidden layers, each (points, outputs, width)."""
        p = self.problem
        to_h: list[np.ndarray] = [np.empty(0)] * p.depth
        to_z: list[np.ndarray] = [np.empty(0)] * p.depth
        readout = p.scales[-1] * self.blocks[-1].weight
        g = np.broadcast_to(readout, (len(p.x), *readout.shape))
        for l in reversed(range(p.depth)):
            to_h[l] = g
            to_z[l] = g * self.preactivation(l)[1][:, None, :]
            if l:
                g = p.scales[l] * (to_z[l] @ self.blocks[l].weight)
        return to_h, to_z

    def cross_kernel(self, other: "Evaluation") -> Float[np.ndarray, "rows rows"]:
        """J(self) J(other)ᵀ."""
        p = self.problem
        m, k = self.outputs.shape
        s2 = p.bias_scales[-1] ** 2
        top = p.scales[-1] ** 2 * (self.features[-1] @ other.features[-1].T) + s2
        total = np.kron(top, np.eye(k))
        for l in range(p.depth):
            inner = p.scales[l] ** 2 * (self.features[l] @ other.features[l].T)
            left, right = (e.backward[1][l].reshape(m * k, -1) for e in (self, other))
            total += (left @ right.T) * np.kron(inner + p.bias_scales[l] ** 2, np.ones((k, k)))
        root = np.repeat(p.root, k)
        return root[:, None] * total * root

    @cached_property
    def kernel(self) -> Float[np.ndarray, "rows rows"]:
        """Θ = JJᵀ."""
        theta = self.cross_kernel(self)
        return (theta + theta.T) / 2

    def pull(self, v: Float[np.ndarray, " rows"]) -> tuple[Block, ...]:
        """Jᵀv, layer by layer."""
        p = self.problem
        top = p.root[:, None] * v.reshape(self.outputs.shape)
        errors = [np.einsum("ij,ijn->in", top, g) for g in self.backward[1]] + [top]
        return tuple(
            Block(
                p.scales[l] * (error.T @ self.features[l]),
                None if self.blocks[l].bias is None else p.bias_scales[l] * error.sum(0),
            )
            for l, error in enumerate(errors)
        )

    def moved(self, direction: Sequence[Block]) -> "Evaluation":
        """The network at θ - direction."""
        return Evaluation(
            self.problem,
            tuple(
                Block(b.weight - d.weight, None if b.bias is None else b.bias - d.bias)
                for b, d in zip(self.blocks, direction, strict=True)
            ),
        )

    @property
    def norm(self) -> float:
        """|θ|."""
        return _norm(self.blocks)

    def distance(self, other: "Evaluation") -> float:
        """|θ - θ'| with its rounding."""
        pairs = zip(self.blocks, other.blocks, strict=True)
        gap = [
            Block(a.weight - b.weight, None if a.bias is None else a.bias - b.bias)
            for a, b in pairs
        ]
        return _norm(gap) * SAFE + 4 * UNIT * (self.norm + other.norm)

    @cached_property
    def forward_errors(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Bounds of the errors of h^0, …, h^L and of z^1, …, z^{L+1}, entry by entry."""
        p, m1 = self.problem, self.problem.bounds.slope
        error = np.zeros_like(p.x)
        at_h, at_z = [error], []
        for l, (weight, bias) in enumerate(self.blocks):
            size = p.scales[l] * (np.abs(self.features[l]) @ np.abs(weight).T)
            if bias is not None:
                size = size + p.bias_scales[l] * np.abs(bias)
            error = _gamma(weight.shape[1] + 4) * size + p.scales[l] * (error @ np.abs(weight).T)
            at_z.append(error)
            if l < p.depth:
                scale = np.abs(self.features[l + 1]) + m1 * np.abs(self.preactivation(l)[0])
                error = m1 * error + _ACTIVATION * scale
                at_h.append(error)
        return at_h, at_z

    @cached_property
    def backward_errors(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Bounds of the errors of ∂f/∂h^l and ∂f/∂z^l, entry by entry."""
        p = self.problem
        m1, m2 = p.bounds.slope, p.bounds.curvature
        to_h, to_z = self.backward
        errors_h, errors_z = list(to_h), list(to_z)
        error = 4 * UNIT * np.abs(to_h[-1])
        for l in reversed(range(p.depth)):
            errors_h[l] = error
            z, slope, _ = self.preactivation(l)
            local = m2 * self.forward_errors[1][l] + _ACTIVATION * (m1 + m2 * np.abs(z))
            error = error * (np.abs(slope) + local)[:, None, :] + np.abs(to_h[l]) * local[:, None]
            error = errors_z[l] = error + 2 * UNIT * np.abs(to_z[l])
            weight = np.abs(self.blocks[l].weight)
            if l:
                sizes = _gamma(len(weight) + 4) * np.abs(to_z[l]) + error
                error = p.scales[l] * (sizes @ weight)
        return errors_h, errors_z

    @cached_property
    def rounding(self) -> tuple[float, float]:
        """Bounds of |δr|, with the subtraction of the labels, and of |δJ|_F."""
        p, errors = self.problem, self.forward_errors
        # rounded: the difference, √κ (and κ, of tied points that weigh unequally), the product
        subtracted = 5 * UNIT * (np.abs(self.outputs) + np.abs(p.y))
        residual = np.linalg.norm(p.root[:, None] * (errors[1][-1] + subtracted))
        entries = [p.y.shape[1] ** 0.5 * p.scales[-1] * norms(errors[0][-1])]
        for l, (gradient, change) in enumerate(
            zip(self.backward[1], self.backward_errors[1], strict=True)
        ):
            g, dg = norms(gradient), norms(change)
            h, dh = norms(self.features[l]), norms(errors[0][l])
            entries.append(p.scales[l] * (dg * (h + dh) + g * dh) + p.bias_scales[l] * dg)
        jacobian = np.linalg.norm(p.root * np.array(entries))
        return float(residual) * SAFE, float(jacobian) * SAFE


def norms(values: Float[np.ndarray, "points ..."]) -> Float[np.ndarray, " points"]:
    """The Euclidean (Frobenius) norm of every point's part of an array."""
    return np.sqrt((values.reshape(len(values), -1) ** 2).sum(1))


def _gamma(n: int) -> float:
    return n * UNIT / (1 - n * UNIT)


def _norm(blocks: Sequence[Block]) -> float:
    parts = (part for block in blocks for part in block if part is not None)
    return float(np.sqrt(sum((part**2).sum() for part in parts)))


def evaluate(
    net: MLP,
    parameters: Parameters,
    x: Float[np.ndarray, "points inputs"],
    y: Float[np.ndarray, "points outputs"],
    root: Float[np.ndarray, " points"] | None = None,
    bounds: Smoothness | None = None,
) -> Evaluation:
    """A network of this library at its parameters, on the train points.

    Args:
        net: the architecture.
        parameters: depth + 1 layers, as of :meth:`MLP.init`.
        x: train points.
        y: their labels.
        root: roots of the points' multiplicities, by default 1.
        bounds: sup-norms of the activation and its derivatives, by default those known for it.

    Raises:
        ValueError: where the parameters do not fit the network or the data, are not finite or
            belong to several networks, or the activation has no bounds.
    """
    bounds = smoothness(net.activation) if bounds is None else bounds
    n = _checked_width(net, parameters, x)
    sized, rates = net.at_width(n, x.shape[1]), net.learning_rates(n, x.shape[1])
    blocks, scales, bias_scales = [], [], []
    for l, (layer, rate) in enumerate(zip(parameters, rates, strict=True)):
        weight = np.asarray(layer.weight, dtype=float)
        stretch, shift = float(rate.weight) ** 0.5, float(rate.bias) ** 0.5
        scales.append(float(sized.weight_std[l]) / weight.shape[1] ** 0.5 * stretch)
        bias = None if layer.bias is None else np.asarray(layer.bias, dtype=float) / shift
        bias_scales.append(0.0 if bias is None else float(sized.bias_std[l]) * shift)
        blocks.append(Block(weight / stretch, bias))
    root = np.ones(len(x)) if root is None else root
    problem = Problem(net.activation, bounds, x, y, root, tuple(scales), tuple(bias_scales))
    return Evaluation(problem, tuple(blocks))


def _checked_width(net: MLP, parameters: Parameters, x: np.ndarray) -> int:
    n = width_of(net, parameters, x.shape[1], None)
    if np.ndim(parameters[0].weight) != 2:
        raise ValueError(
            "a certificate is about one network, but the parameters have an axis of "
            f"{np.shape(parameters[0].weight)[0]} members in front; pass them one at a time"
        )
    for l, layer in enumerate(parameters):
        arrays = [layer.weight] + ([] if layer.bias is None else [layer.bias])
        if not all(np.isfinite(np.asarray(array)).all() for array in arrays):
            raise ValueError(f"parameters of layer {l} hold a number that is not finite")
    return n
