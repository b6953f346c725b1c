"""The gradient of the loss of a perceptron, kept as products of errors and features.

With h^l the features of layer l on the train points, z^{l+1} = s_l W^l h^l + c_l b^l the
preactivations (s_l = σ_w/√fan_in, c_l = σ_b), and errors

    D^L = y − f,      D^{l−1} = s_l (D^l W^l) ∘ φ'(z^l),

the negative gradient of ½ Σ (f(x_a) − y_a)², times the learning rates r of the parametrization, is

    Ẇ^l = r_w s_l (D^l)ᵀ h^l,      ḃ^l = r_b c_l Σ_a D^l_a:

a matrix of rank m, the number of train points. A layer much wider than m is therefore moved,
between the stages of one Runge–Kutta step, without writing a matrix of its size:
(W + AᵀB) h = W h + Aᵀ(B h).
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from widthwise._vocabulary import Array
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP, Layer, Parameters, Scale

_MEMORY = 200  # floating-point operations in the time of one pass over a weight, in all stages


class Task(NamedTuple):
    """Train points, their labels, and all points (train first) at which outputs are recorded."""

    x_train: Float[Array, "train inputs"]
    y_train: Float[Array, "train outputs"]
    x: Float[Array, "points inputs"]


class Factors(NamedTuple):
    """Of one layer: its negative gradient is s (errors)ᵀ features."""

    errors: Float[jax.Array, "train out"]
    features: Float[Array, "train in"]


class Displaced(NamedTuple):
    """A layer moved by a product: its weight is ``layer.weight + leftᵀ right``."""

    layer: Layer
    left: Float[jax.Array, "rank out"] | None = None
    right: Float[jax.Array, "rank in"] | None = None


class NegativeGradient(eqx.Module):
    """θ ↦ −r ∇ ½ Σ (f(x_a) − y_a)², with the per-layer rates r of the parametrization."""

    activation: Activation = eqx.field(static=True)
    weight_scales: tuple[Scale, ...]
    bias_scales: tuple[Scale, ...]
    weight_rates: tuple[Scale, ...]
    bias_rates: tuple[Scale, ...]
    x: Float[Array, "train inputs"]
    y: Float[Array, "train outputs"]

    def __call__(self, parameters: Parameters) -> Parameters:
        return tuple(
            Layer(
                self.weight_rates[l] * self.weight_scales[l] * (f.errors.T @ f.features),
                None if layer.bias is None else self._bias_velocity(l, f),
            )
            for l, (layer, f) in enumerate(zip(parameters, self.factors(parameters), strict=True))
        )

    def on(self, x: Array, y: Array) -> "NegativeGradient":
        """The same network's on other train points."""
        return eqx.tree_at(lambda v: (v.x, v.y), self, (x, y))

    def outputs(self, parameters: Parameters, x: Array) -> Float[jax.Array, "points outputs"]:
        """Outputs (points, outputs) of the network."""
        for l, layer in enumerate(parameters):
            if l:
                x = self.activation(x).astype(layer.weight.dtype)
            x = self._affine(l, Displaced(layer), x)
        return jnp.asarray(x)

    def factors(self, layers: Parameters | Sequence[Displaced]) -> list[Factors]:
        """Errors and features of every layer."""
        moved = [at if isinstance(at, Displaced) else Displaced(at) for at in layers]
        features, slopes = [self.x], []
        z = self._affine(0, moved[0], self.x)
        for l in range(1, len(moved)):
            h, slope = jax.jvp(self.activation.function, (z,), (jnp.ones_like(z),))
            features.append(h.astype(z.dtype))
            slopes.append(slope.astype(z.dtype))
            z = self._affine(l, moved[l], features[l])
        errors = [self.y - z]
        for l in range(len(moved) - 1, 0, -1):
            layer, left, right = moved[l]
            back = errors[-1] @ layer.weight
            if left is not None and right is not None:
                back = back + (errors[-1] @ left.T) @ right
            errors.append(self.weight_scales[l] * back * slopes[l - 1])
        pairs = zip(errors[::-1], features, strict=True)
        return [Factors(*pair) for pair in pairs]  # pyright: ignore[reportArgumentType]

    def displaced(
        self, parameters: Parameters, sizes: Sequence[jax.Array], moves: Sequence[list[Factors]]
    ) -> list[Displaced]:
        """The network after moving by ``sizes`` along gradients; wide layers as products."""
        if not moves:
            return [Displaced(layer) for layer in parameters]
        return [self._displaced(l, layer, sizes, moves) for l, layer in enumerate(parameters)]

    def moved(
        self, parameters: Parameters, sizes: Sequence[jax.Array], moves: Sequence[list[Factors]]
    ) -> Parameters:
        """The parameters after moving by ``sizes`` along the gradients with these factors."""
        return tuple(
            Layer(layer.weight + left.T @ right, self._moved_bias(l, layer, sizes, moves))
            for l, layer in enumerate(parameters)
            for left, right in [self._product(l, sizes, moves)]
        )

    def _displaced(self, l: int, layer: Layer, sizes, moves) -> Displaced:
        bias = self._moved_bias(l, layer, sizes, moves)
        left, right = self._product(l, sizes, moves)
        outer, inner = layer.weight.shape
        m = len(self.x)
        if 4 * m * len(left) * (outer + inner) < outer * inner * (_MEMORY + 2 * m):
            return Displaced(Layer(layer.weight, bias), left, right)
        return Displaced(Layer(layer.weight + left.T @ right, bias))

    def _product(self, l: int, sizes, moves) -> tuple[jax.Array, jax.Array]:
        """A and B with AᵀB the sum of the moves of a layer's weight."""
        rate = self.weight_rates[l] * self.weight_scales[l]
        left = [size * rate * move[l].errors for size, move in zip(sizes, moves, strict=True)]
        if l == 0:
            return sum(left[1:], left[0]), jnp.asarray(self.x)
        return jnp.concatenate(left), jnp.concatenate([move[l].features for move in moves])

    def _moved_bias(self, l: int, layer: Layer, sizes, moves) -> jax.Array | None:
        if layer.bias is None:
            return None
        moves = (s * self._bias_velocity(l, m[l]) for s, m in zip(sizes, moves, strict=True))
        return layer.bias + sum(moves, jnp.zeros_like(layer.bias))  # pyright: ignore[reportReturnType]

    def _bias_velocity(self, l: int, factors: Factors) -> jax.Array:
        return self.bias_rates[l] * self.bias_scales[l] * factors.errors.sum(0)

    def _affine(self, l: int, at: Displaced, h: Array) -> jax.Array:
        z = h @ at.layer.weight.T
        if at.left is not None and at.right is not None:
            z = z + (h @ at.right.T) @ at.left
        z = self.weight_scales[l] * z
        if at.layer.bias is not None:
            z = z + self.bias_scales[l] * at.layer.bias
        return z  # pyright: ignore[reportReturnType]


def negative_gradient(net: MLP, width: int, task: Task, inputs: int | None = None):
    """The :class:`NegativeGradient` of a network of width n.

    Args:
        net: the architecture.
        width: n.
        task: the data.
        inputs: the input dimension d, where the points are given in fewer coordinates.
    """
    d = task.x.shape[1] if inputs is None else inputs
    net, rates = net.at_width(width, d), net.learning_rates(width, d)
    fan_in = (d, *net.widths(width))
    return NegativeGradient(
        net.activation,
        tuple(std / fan**0.5 for std, fan in zip(net.weight_std, fan_in, strict=True)),
        net.bias_std,
        tuple(rate.weight for rate in rates),
        tuple(rate.bias for rate in rates),
        task.x_train,
        task.y_train,
    )
