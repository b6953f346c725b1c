"""The multilayer perceptron in neural-tangent parametrization.

With L = depth hidden layers of widths n_l = ratio_l · n,

    z¹ = σ_b b¹ + σ_w W¹ x / √d,      z^{l+1} = σ_b b^{l+1} + σ_w W^{l+1} φ(z^l) / √n_l,

and the output is z^{L+1}. Weights and biases are standardized (mean 0, variance 1): scales live in
the network, the law of the parameters enters through its cumulants. σ_w, σ_b and the laws may
differ from layer to layer.

``parametrization="standard"`` has the same outputs at initialization, but trains the products
σ_w W/√n_l and σ_b b with one learning rate 1/n, as common frameworks do: a change of variables that
multiplies the rate of each layer's standardized parameters by n_l/(n σ_w²) (weights) and 1/(n σ_b²)
(biases). As n → ∞ the first layer's weights (d/(n σ_w²)) and all biases stop moving.

``bias_scaling="fan_in"`` divides every σ_b by the root of the layer's fan-in (d, then n_l), as
PyTorch does: in the limit only the first layer keeps its bias. At one width this is the network
with other, constant bias_std: :meth:`MLP.at_width`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise import _checks as checks
from widthwise._vocabulary import Array, ArrayLike, Points
from widthwise.model import activations, laws
from widthwise.model.activations import Activation, Function
from widthwise.model.laws import Law

Parametrization: TypeAlias = Literal["ntk", "standard"]
BiasScaling: TypeAlias = Literal["constant", "fan_in"]
Scale: TypeAlias = float | jax.Array
LawLike: TypeAlias = str | dict | Law


class Layer(NamedTuple):
    """Standardized parameters of one layer; ``bias`` is ``None`` where bias_std is 0."""

    weight: Float[Array, "*members out in"]
    bias: Float[Array, "*members out"] | None


class Rates(NamedTuple):
    """Factors on the learning rate of a layer's standardized weights and biases."""

    weight: Scale
    bias: Scale


Parameters: TypeAlias = tuple[Layer, ...]


class MLP(eqx.Module):
    """A multilayer perceptron: depth, activation, scales and laws of initialization.

    Args:
        depth: number of hidden layers, at least 1.
        activation: a name, a function, or an :class:`~widthwise.activations.Activation`.
        weight_std: σ_w, one number or one per layer (depth + 1 of them).
        bias_std: σ_b, likewise; a layer whose bias_std is 0 has no bias.
        weight_law: law of the standardized weights: a name, a :class:`~widthwise.laws.Law`, a
            mapping such as ``{"name": "student_t", "df": 5}``, or one per layer.
        bias_law: law of the standardized biases, likewise.
        ratios: hidden widths as multiples of n (depth of them); ``None`` means all 1.
        outputs: components of the output.
        parametrization: ``"ntk"`` or ``"standard"`` (see the module's text).
        bias_scaling: ``"constant"``, or ``"fan_in"`` for σ_b/√fan_in in every layer.

    Raises:
        ValueError: for any field out of its range, with the value received.

    Example:
        >>> import jax, widthwise as ww
        >>> net = ww.MLP(depth=1, activation="tanh", weight_std=1.5, bias_std=0.3)
        >>> parameters = net.init(jax.random.key(0), width=64, inputs=3)
        >>> net.apply(parameters, jax.numpy.ones((5, 3))).shape
        (5, 1)
    """

    depth: int = eqx.field(static=True)
    activation: Activation = eqx.field(static=True)
    weight_std: tuple[Scale, ...]
    bias_std: tuple[Scale, ...]
    weight_law: tuple[Law, ...] = eqx.field(static=True)
    bias_law: tuple[Law, ...] = eqx.field(static=True)
    ratios: tuple[float, ...] = eqx.field(static=True)
    outputs: int = eqx.field(static=True)
    parametrization: Parametrization = eqx.field(static=True)
    bias_scaling: BiasScaling = eqx.field(static=True)

    def __init__(
        self,
        depth: int = 1,
        activation: str | Function | Activation = "relu",
        weight_std: Scale | Sequence[Scale] = 1.0,
        bias_std: Scale | Sequence[Scale] = 0.0,
        weight_law: LawLike | Sequence[LawLike] = "gaussian",
        bias_law: LawLike | Sequence[LawLike] = "gaussian",
        ratios: Sequence[float] | None = None,
        outputs: int = 1,
        parametrization: Parametrization = "ntk",
        bias_scaling: BiasScaling = "constant",
    ):
        self.depth = checks.positive_integer(depth, "depth")
        self.activation = activations.get(activation)
        layers = self.depth + 1
        self.weight_std = _scales(weight_std, layers, "weight_std", zero_allowed=False)
        self.bias_std = _scales(bias_std, layers, "bias_std", zero_allowed=True)
        self.weight_law = tuple(map(laws.get, _per_layer(weight_law, layers, "weight_law")))
        self.bias_law = tuple(map(laws.get, _per_layer(bias_law, layers, "bias_law")))
        given = (1.0,) * self.depth if ratios is None else ratios
        if not isinstance(given, Sequence) or len(given) != self.depth:
            raise ValueError(
                f"ratios must hold one number per hidden layer ({self.depth}), got {ratios!r}"
            )
        self.ratios = tuple(checks.positive(ratio, "ratios") for ratio in given)
        self.outputs = checks.positive_integer(outputs, "outputs")
        if parametrization not in ("ntk", "standard"):
            raise ValueError(
                f"parametrization must be 'ntk' or 'standard', got {parametrization!r}"
            )
        self.parametrization = parametrization
        if bias_scaling not in ("constant", "fan_in"):
            raise ValueError(f"bias_scaling must be 'constant' or 'fan_in', got {bias_scaling!r}")
        self.bias_scaling = bias_scaling

    @classmethod
    def like_torch(
        cls,
        depth: int = 1,
        activation: str | Function | Activation = "relu",
        ratios: Sequence[float] | None = None,
        outputs: int = 1,
    ) -> "MLP":
        """The network of PyTorch's ``nn.Linear`` layers as they are initialized by default.

        Weights and biases are uniform on ±1/√fan_in (Kaiming uniform with a = √5), so σ_w and σ_b
        are 1/√3 and biases scale with the fan-in; standard parametrization.

        Example:
            >>> import widthwise as ww
            >>> ww.MLP.like_torch(depth=2).weight_law[0].name
            'uniform'
        """
        scale = 3**-0.5
        return cls(
            depth,
            activation,
            weight_std=scale,
            bias_std=scale,
            weight_law="uniform",
            bias_law="uniform",
            ratios=ratios,
            outputs=outputs,
            parametrization="standard",
            bias_scaling="fan_in",
        )

    @classmethod
    def like_flax(
        cls,
        depth: int = 1,
        activation: str | Function | Activation = "relu",
        ratios: Sequence[float] | None = None,
        outputs: int = 1,
    ) -> "MLP":
        """The network of Flax's ``Dense`` layers as they are initialized by default.

        Weights are normal, truncated at two standard deviations and rescaled to variance 1/fan_in
        (LeCun normal); biases start at 0, and so have no law: this network has none. Standard
        parametrization.

        Example:
            >>> import widthwise as ww
            >>> ww.MLP.like_flax(depth=2).bias_std
            (0.0, 0.0, 0.0)
        """
        return cls(
            depth,
            activation,
            weight_law=laws.TruncatedGaussian(2.0),
            ratios=ratios,
            outputs=outputs,
            parametrization="standard",
        )

    def widths(self, width: int) -> tuple[int, ...]:
        """Hidden widths n_l = ratio_l · width, rounded to integers of at least 1."""
        n = checks.width(width)
        return tuple(max(1, round(ratio * n)) for ratio in self.ratios)

    def init(self, key: jax.Array, width: int, inputs: int) -> Parameters:
        """Sample standardized parameters of a network of width n.

        Args:
            key: a JAX random key.
            width: n; hidden layers have ratio_l · n neurons.
            inputs: the dimension d of a data point.

        Returns:
            depth + 1 :class:`Layer` values.
        """
        fan = (checks.positive_integer(inputs, "inputs"), *self.widths(width), self.outputs)
        layers = []
        keys = jax.random.split(key, 2 * (self.depth + 1))
        for l, (weight_key, bias_key) in enumerate(zip(keys[::2], keys[1::2], strict=True)):
            weight = self.weight_law[l].sample(weight_key, (fan[l + 1], fan[l]))
            bias = self.bias_law[l].sample(bias_key, fan[l + 1 : l + 2])
            layers.append(Layer(weight, bias if self.has_bias(l) else None))
        return tuple(layers)

    def at_width(self, width: float, inputs: float) -> "MLP":
        """The same network, of one width, with constant bias_std; ``inf`` gives the limit.

        Args:
            width: n.
            inputs: the input dimension d, or ``inf``.
        """
        if self.bias_scaling == "constant":
            return self
        infinite = (math.inf,) * self.depth
        fan_in = (inputs, *(infinite if math.isinf(width) else self.widths(int(width))))
        scales = (std / n**0.5 for std, n in zip(self.bias_std, fan_in, strict=True))
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return MLP(**fields | {"bias_std": tuple(scales), "bias_scaling": "constant"})

    def has_bias(self, layer: int) -> bool:
        """Whether a layer has biases: its bias_std is not the number 0."""
        scale = self.bias_std[layer]
        return not (isinstance(scale, float) and scale == 0.0)

    def apply(self, parameters: Parameters, x: Points) -> Float[jax.Array, "points outputs"]:
        """Outputs (points, outputs) of one network on data x (points, inputs)."""
        h = jnp.asarray(x)
        for l, layer in enumerate(parameters):
            if l:
                h = self.activation(h)
            h = self.weight_std[l] / np.sqrt(layer.weight.shape[-1]) * (h @ layer.weight.T)
            if layer.bias is not None:
                fan_in = layer.weight.shape[-1] if self.bias_scaling == "fan_in" else 1
                h = h + self.bias_std[l] / np.sqrt(fan_in) * layer.bias
        return h

    def learning_rates(self, width: int, inputs: int) -> tuple[Rates, ...]:
        """Per-layer factors on the learning rate, all 1 in the NTK parametrization."""
        fan_in = (inputs, *self.widths(width))
        return self.at_width(width, inputs)._rates(tuple(n / width for n in fan_in), 1 / width)

    def learning_rate_series(
        self, inputs: int, input_ratio: float | None = None
    ) -> tuple[tuple[Rates, Rates], ...]:
        """Per layer the limits of :meth:`learning_rates` as n → ∞ and the coefficients of 1/n.

        Args:
            inputs: the input dimension d.
            input_ratio: d/n where the input dimension grows with n; ``None`` where it is fixed.
        """
        if self.parametrization == "ntk":
            return ((Rates(1.0, 1.0), Rates(0.0, 0.0)),) * (self.depth + 1)
        fixed, grows = (inputs, 0.0) if input_ratio is None else (0.0, input_ratio)
        limit = self._rates((grows, *self.ratios), 0.0)
        first_order = self._rates((float(fixed), *(0.0,) * self.depth), 1.0)
        return tuple(zip(limit, first_order, strict=True))

    def limit_learning_rates(self) -> tuple[Rates, ...]:
        """The limits of :meth:`learning_rates` as n → ∞ at fixed input dimension."""
        return self._rates((0.0, *self.ratios), 0.0)

    def _rates(self, fan_in: tuple[float, ...], bias: float) -> tuple[Rates, ...]:
        if self.parametrization == "ntk":
            return (Rates(1.0, 1.0),) * (self.depth + 1)
        return tuple(
            Rates(fan_in[l] / self.weight_std[l] ** 2, self._bias_rate(l, bias))
            for l in range(self.depth + 1)
        )

    def _bias_rate(self, layer: int, numerator: float) -> Scale:
        return numerator / self.bias_std[layer] ** 2 if self.has_bias(layer) else 0.0


def require_network(net: object) -> None:
    """Raise ``ValueError`` unless ``net`` is an :class:`MLP`."""
    if not isinstance(net, MLP):
        raise ValueError(f"net must be a widthwise.MLP, such as MLP(depth=2), got {net!r}")


def _per_layer(value: object, layers: int, name: str) -> tuple:
    if isinstance(value, str | dict | Law) or not isinstance(value, Sequence):
        return (value,) * layers
    if len(value) != layers:
        raise ValueError(
            f"{name} must be one value or one per layer (depth + 1 = {layers}), got "
            f"{len(value)}: {value!r}"
        )
    return tuple(value)


def _scales(value: ArrayLike, layers: int, name: str, *, zero_allowed: bool) -> tuple[Scale, ...]:
    if isinstance(value, jax.Array | np.ndarray):
        value = [value] * layers if value.ndim == 0 else list(value)
    return tuple(_scale(s, name, zero_allowed) for s in _per_layer(value, layers, name))


def _scale(value: object, name: str, zero_allowed: bool) -> Scale:
    least = "at least" if zero_allowed else "above"
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except jax.errors.ConcretizationTypeError:
        return value  # pyright: ignore[reportReturnType]
    except (TypeError, ValueError):
        number = float("nan")
    if not (number >= 0 if zero_allowed else number > 0) or number == float("inf"):
        raise ValueError(f"{name} must be finite and {least} 0, got {value!r}")
    return number
