"""The gradient of the loss of a perceptron, kept as products of errors and features.

With h^l the features of layer l on the train points, z^{l+1} = s_l W^l h^l + c_l b^l the
preactivations (s_l = σ_w/√fan_in, c_l = σ_b), and errors

    D^L = y − f,      D^{l−1} = s_l (D^l W^l) ∘ φ'(z^l),

the negative gradient of ½ Σ (f(x_a) − y_a)², times the learning rates r of the parametrization, is

    Ẇ^l = r_w s_l (D^l)ᵀ h^l,      ḃ^l = r_b c_l Σ_a D^l_a:

a matrix of rank m, the number of train points. A layer much wider than m is therefore moved,
between the stages of one Runge–Kutta step, without writing a matrix of its size
(:mod:`.displacement`).
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from widthwise._vocabulary import Array
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP, Layer, Parameters, Scale


class Task(NamedTuple):
    """Train points, their labels, and all points (train first) at which outputs are recorded."""

    x_train: Float[Array, "train inputs"]
    y_train: Float[Array, "train outputs"]
    x: Float[Array, "points inputs"]


class Factors(NamedTuple):
    """Of one layer: its negative gradient is s (errors)ᵀ features."""

    errors: Float[jax.Array, "train out"]
    features: Float[Array, "train in"]


@runtime_checkable
class Affine(Protocol):
    """A layer, as far as the gradient needs it."""

    def forward(self, h: Array) -> jax.Array:
        """Preactivations z = s H Wᵀ + c b."""
        ...

    def backward(self, d: jax.Array) -> jax.Array:
        """Errors s D W passed down."""
        ...


class Written(NamedTuple):
    """A layer whose weight stands in memory."""

    layer: Layer
    weight_scale: Scale
    bias_scale: Scale

    def forward(self, h: Array) -> jax.Array:
        """Preactivations z = s H Wᵀ + c b."""
        z = self.weight_scale * (h @ self.layer.weight.T)
        return jnp.asarray(z if self.layer.bias is None else z + self.bias_scale * self.layer.bias)

    def backward(self, d: jax.Array) -> jax.Array:
        """Errors s D W passed down."""
        return self.weight_scale * (d @ self.layer.weight)


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
        layers = [self.written(l, layer) for l, layer in enumerate(parameters)]
        factors = self.factors(layers)
        # The last error found needs every W. What waits for it may be added to W in place: 0 · D
        # is a number a compiler may not leave out.
        wait = 0 * factors[0].errors[0, 0]
        return tuple(
            Layer(
                (self.weight_step(l) * d + wait).T @ h,
                None if layer.bias is None else self.bias_step(l) * d.sum(0),
            )
            for l, (layer, (d, h)) in enumerate(zip(parameters, factors, strict=True))
        )

    def on(self, x: Array, y: Array) -> "NegativeGradient":
        """The same network's on other train points."""
        return eqx.tree_at(lambda v: (v.x, v.y), self, (x, y))

    def outputs(self, parameters: Parameters, x: Array) -> Float[jax.Array, "points outputs"]:
        """Outputs (points, outputs) of the network."""
        for l, layer in enumerate(parameters):
            if l:
                x = self.activation(x).astype(layer.weight.dtype)
            x = self.written(l, layer).forward(x)
        return jnp.asarray(x)

    def factors(self, layers: Sequence[Affine]) -> list[Factors]:
        """Errors and features of every layer."""
        features, slopes = [self.x], []
        z = layers[0].forward(self.x)
        for layer in layers[1:]:
            h, slope = self.activation.value_and_slope(z)
            features.append(h)
            slopes.append(slope)
            z = layer.forward(features[-1])
        errors = [jnp.asarray(self.y - z)]
        for layer, slope in zip(layers[:0:-1], slopes[::-1], strict=True):
            errors.append(layer.backward(errors[-1]) * slope)
        pairs = zip(errors[::-1], features, strict=True)
        return [Factors(*pair) for pair in pairs]  # pyright: ignore[reportArgumentType]

    def written(self, l: int, layer: Layer) -> Written:
        """Layer number l with these parameters."""
        return Written(layer, self.weight_scales[l], self.bias_scales[l])

    def weight_step(self, l: int) -> Scale:
        """r_w s of a layer: Ẇ is this times Dᵀh."""
        return self.weight_rates[l] * self.weight_scales[l]

    def bias_step(self, l: int) -> Scale:
        """r_b c of a layer: ḃ is this times Σ_a D_a."""
        return self.bias_rates[l] * self.bias_scales[l]


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
