"""A network between the stages of one Runge–Kutta step, moved along gradients D_jᵀH_j of low rank.

A move by the sizes h_1, h_2, … along gradients with errors D_j and features H_j changes a layer by

    ΔW = r_w s Σ_j h_j D_jᵀ H_j,      Δb = r_b c Σ_j h_j Σ_a D_ja,

and a stage sees a layer only through s H Wᵀ + c b and s D W. So three kinds of layer move without
a matrix of their size being written:

* the first, whose features are the inputs X at every stage, in its preactivations,

      Δz = Σ_j h_j G D_j,      G = r_w s² X Xᵀ + r_b c²;

* a layer much wider than the rank of the move, as a product ΔW = AᵀB,

      H (W + AᵀB)ᵀ = H Wᵀ + (H Bᵀ) A,      D (W + AᵀB) = D W + (D Aᵀ) B;

* any other, such as the last, in its weights: Ẇ is as small as its factors.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from widthwise._vocabulary import Array
from widthwise.finite.gradient import Affine, Factors, NegativeGradient, Written
from widthwise.model.architecture import Layer, Parameters, Scale

_MEMORY = 200  # floating-point operations in the time of one pass over a weight, in all stages
_IN_CACHE = 2**15  # weights of a layer that is worth a transposed copy
_FEW = 8  # terms of a product that is quicker written out than passed to a library

Sizes: TypeAlias = Float[jax.Array, " moves"]


class Preactivations(NamedTuple):
    """The first layer, known by its preactivations on the train points."""

    z: Float[jax.Array, "train out"]

    def forward(self, h: Array) -> jax.Array:
        """Preactivations z."""
        return self.z

    def backward(self, d: jax.Array) -> jax.Array:
        """Nothing stands below the first layer: nobody asks."""
        raise TypeError("errors end at the first layer")


class Displaced(NamedTuple):
    """A layer whose weight is W + AᵀB."""

    origin: "WideLayer"
    bias: Float[jax.Array, " out"] | None
    left: Float[jax.Array, "rank out"]
    right: Float[jax.Array, "rank in"]

    def forward(self, h: Array) -> jax.Array:
        """Preactivations z = s (H Wᵀ + (H Bᵀ) A) + c b."""
        o = self.origin
        transposed = o.at_rest.layer.weight.T if o.transposed is None else o.transposed
        z = o.at_rest.weight_scale * (h @ transposed + (h @ self.right.T) @ self.left)
        return jnp.asarray(z if self.bias is None else z + o.at_rest.bias_scale * self.bias)

    def backward(self, d: jax.Array) -> jax.Array:
        """Errors s (D W + (D Aᵀ) B) passed down."""
        o = self.origin.at_rest
        return o.weight_scale * (d @ o.layer.weight + (d @ self.left.T) @ self.right)


class _Origin(eqx.Module):
    """A layer where a step begins.

    Args:
        at_rest: the layer.
        weight_step: r_w s.
        bias_step: r_b c.
    """

    at_rest: Written
    weight_step: Scale
    bias_step: Scale


class FirstLayer(_Origin):
    """Moves in its preactivations."""

    x: Float[Array, "train inputs"]

    def move(self, k: Factors) -> jax.Array:
        """D."""
        return k.errors

    def start(self) -> Affine:
        """The layer before any move."""
        return Preactivations(self.at_rest.forward(self.x))

    def after(self, start: Affine, sizes: Sizes, moves: jax.Array) -> Affine:
        """The layer with preactivations z + Δz."""
        x = jnp.asarray(self.x)
        gram = self.weight_step * self.at_rest.weight_scale * (x @ x.T)
        if self.at_rest.layer.bias is not None:
            gram = gram + self.bias_step * self.at_rest.bias_scale
        return Preactivations(start.forward(x) + gram @ _sum_of_wide(sizes, moves))

    def moved(self, sizes: Sizes, moves: jax.Array) -> Layer:
        """Its parameters after the moves."""
        (weight, bias), d = self.at_rest.layer, _sum_of_wide(sizes, moves)
        weight = weight + self.weight_step * (d.T @ self.x)
        return Layer(weight, None if bias is None else bias + self.bias_step * d.sum(0))


class WideLayer(_Origin):
    """Moves as a product; ``transposed`` is a copy of Wᵀ where the layer is small."""

    transposed: Float[Array, "in out"] | None

    class Move(NamedTuple):
        errors: Float[jax.Array, "*moves train out"]
        features: Float[jax.Array, "*moves train in"]
        bias: Float[jax.Array, "*moves out"] | None

    def move(self, k: Factors) -> Move:
        """D, H and ḃ."""
        biased = self.at_rest.layer.bias is not None
        bias = self.bias_step * k.errors.sum(0) if biased else None
        return self.Move(k.errors, jnp.asarray(k.features), bias)

    def start(self) -> Affine:
        """The layer before any move."""
        return self.at_rest

    def after(self, start: Affine, sizes: Sizes, moves: Move) -> Affine:
        """The layer with weight W + AᵀB."""
        return Displaced(self, self._bias(sizes, moves), *self._factors(sizes, moves))

    def moved(self, sizes: Sizes, moves: Move) -> Layer:
        """Its parameters after the moves."""
        left, right = self._factors(sizes, moves)
        return Layer(self.at_rest.layer.weight + left.T @ right, self._bias(sizes, moves))

    def _factors(self, sizes: Sizes, moves: Move) -> tuple[jax.Array, jax.Array]:
        left, right = self.weight_step * sizes[:, None, None] * moves.errors, moves.features
        return left.reshape(-1, left.shape[-1]), right.reshape(-1, right.shape[-1])

    def _bias(self, sizes: Sizes, moves: Move) -> jax.Array | None:
        bias = self.at_rest.layer.bias
        if bias is None or moves.bias is None:
            return None
        return jnp.asarray(bias + jnp.tensordot(sizes, moves.bias, 1))


class NarrowLayer(_Origin):
    """Moves in its weights."""

    def move(self, k: Factors) -> Layer:
        """Ẇ and ḃ."""
        biased = self.at_rest.layer.bias is not None
        bias = self.bias_step * k.errors.sum(0) if biased else None
        return Layer(self.weight_step * _product(k.errors.T, jnp.asarray(k.features)), bias)

    def start(self) -> Affine:
        """The layer before any move."""
        return self.at_rest

    def after(self, start: Affine, sizes: Sizes, moves: Layer) -> Affine:
        """The layer with weight W + ΔW, written."""
        return self.at_rest._replace(layer=self.moved(sizes, moves))

    def moved(self, sizes: Sizes, moves: Layer) -> Layer:
        """Its parameters after the moves."""
        return jax.tree.map(lambda p, k: p + jnp.tensordot(sizes, k, 1), self.at_rest.layer, moves)


OriginLayer: TypeAlias = FirstLayer | WideLayer | NarrowLayer
Move: TypeAlias = jax.Array | WideLayer.Move | Layer


class Origin(eqx.Module):
    """Where a step begins: the network and its gradient.

    Args:
        velocity: the gradient.
        layers: the layers, each in the coordinates it moves in.
    """

    velocity: NegativeGradient
    layers: tuple[OriginLayer, ...]
    starts: tuple[Affine, ...]

    @classmethod
    def at(cls, velocity: NegativeGradient, parameters: Parameters, moves: int) -> "Origin":
        """The beginning of a step at these parameters, moved along so many gradients at once."""
        layers = []
        for l, layer in enumerate(parameters):
            steps = (velocity.written(l, layer), velocity.weight_step(l), velocity.bias_step(l))
            if l == 0:
                layers.append(FirstLayer(*steps, velocity.x))
            elif _wide(layer.weight.shape, len(velocity.x), moves):
                layers.append(WideLayer(*steps, _transposed(layer.weight)))
            else:
                layers.append(NarrowLayer(*steps))
        return cls(velocity, tuple(layers), tuple(layer.start() for layer in layers))

    def gradient(self) -> tuple[Move, ...]:
        """The gradient here."""
        return self._moves(self.starts)

    def gradient_after(self, sizes: Sizes, moves: tuple[Move, ...]) -> tuple[Move, ...]:
        """The gradient after moving by ``sizes`` along gradients, stacked in ``moves``."""
        triples = zip(self.layers, self.starts, moves, strict=True)
        return self._moves([layer.after(start, sizes, k) for layer, start, k in triples])  # pyright: ignore[reportArgumentType]

    def moved(self, sizes: Sizes, moves: tuple[Move, ...]) -> Parameters:
        """The parameters after moving by ``sizes`` along gradients, stacked in ``moves``."""
        pairs = zip(self.layers, moves, strict=True)
        return tuple(layer.moved(sizes, k) for layer, k in pairs)  # pyright: ignore[reportArgumentType]

    def _moves(self, layers: Sequence[Affine]) -> tuple[Move, ...]:
        pairs = zip(self.layers, self.velocity.factors(layers), strict=True)
        return tuple(layer.move(k) for layer, k in pairs)


def _wide(shape: tuple[int, ...], m: int, moves: int) -> bool:
    """Whether moving a layer as a product takes less time than writing it."""
    outer, inner = shape[-2:]
    return 4 * m * m * moves * (outer + inner) < outer * inner * (_MEMORY + 2 * m)


def _sum_of_wide(sizes: Sizes, stack: jax.Array) -> jax.Array:
    """Σ_j h_j k_j, term by term: as one product, the stack of all members would be transposed."""
    return sum((sizes[j] * stack[j] for j in range(1, len(stack))), sizes[0] * stack[0])


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    """AB."""
    if len(b) > _FEW:
        return a @ b
    return sum((a[:, j, None] * b[j] for j in range(1, len(b))), a[:, 0, None] * b[0])


def _transposed(weight: Array) -> Array | None:
    """Wᵀ in memory of its own, for many products with few points."""
    return jax.lax.optimization_barrier(weight.T) if weight.size <= _IN_CACHE else None
