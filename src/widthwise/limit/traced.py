"""Limit kernels under a JAX transformation: differentiable in the inputs, σ_w and σ_b.

For a Gaussian pair with covariance K, Price's theorem gives the derivatives of every expectation
in the recursion as expectations of the same kind,

    ∂E[fg]/∂K₁₂ = E[f'g'],      ∂E[fg]/∂K₁₁ = ½ E[f''g],      ∂E[fg]/∂K₂₂ = ½ E[fg''],

which is how the Hermite series of a smooth activation are differentiated, to any order; closed
forms differentiate themselves. Price, *IRE Trans. Inform. Theory* 4 (1958).

The kink of relu makes the derivative kernel of two equal inputs a one-sided function of their
angle: there the derivative is that of moving both together.
"""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer

from widthwise.algebra.gaussian import TOLERANCE
from widthwise.limit import diagonal, hermite_series, tiles
from widthwise.limit.closed_forms import closed_form, curvature
from widthwise.limit.hermite_series import Squares
from widthwise.limit.mehler import Factors, mehler_sums
from widthwise.limit.points import Block, Layer, Scales
from widthwise.limit.tiles import Moments, State
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP

_ORDERS = 512


def needed(*trees) -> bool:
    """Whether anything is being traced."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(trees))


def kernels(
    net: MLP, x: jax.Array, x2: jax.Array | None, tolerance: float | None, own: bool
) -> Block:
    """Both kernels and their error as differentiable arrays.

    Args:
        net: a network of Gaussian layers, at infinite width.
        x: (points, inputs).
        x2: (points2, inputs), or ``None`` for ``x``.
        tolerance: relative error allowed to a Hermite series.
        own: only the diagonal.
    """
    return _kernels(net.activation, diagonal.scales(net), x, x2, tolerance or TOLERANCE, own)


@partial(jax.jit, static_argnums=(0, 4, 5))
def _kernels(activation, scale: Scales, x, x2, tolerance: float, own: bool) -> Block:
    links = _chain(activation, scale, x)
    if own:
        link = links[-1][0]
        result = Block(link.nngp, link.ntk, jnp.maximum(link.nngp_error, link.ntk_error))
    else:
        others = links if x2 is None else _chain(activation, scale, x2)
        result = _pairs(activation, scale, x, x2, links, others, tolerance)
        if x2 is None:
            inside = jnp.eye(len(x), dtype=bool)
            last = links[-1][0]
            result = Block(
                jnp.where(inside, last.nngp[:, None], result.nngp),
                jnp.where(inside, last.ntk[:, None], result.ntk),
                jnp.where(inside, jnp.maximum(*last[2:])[:, None], result.error),
            )
    nngp = eqx.error_if(
        result.nngp,
        ~jnp.isfinite(result.error).all(),
        f"a differentiated kernel has {_ORDERS} Hermite orders, which do not reach the tolerance "
        f"{tolerance:.0e}: the activation is steep at this scale and inputs are nearly parallel; "
        "use smaller weights, merge nearly equal inputs, or pass a larger tolerance",
    )
    return result._replace(nngp=nngp)


def _chain(activation, scale: Scales, x) -> list[tuple]:
    """Per layer each point's own kernels, and E φ², E φ'², E φ''² (none for the output)."""
    link = diagonal.first_link(scale, jnp.sum(x * x, 1) / x.shape[1])
    links = []
    for layer in range(1, len(scale.bias)):
        if closed_form(activation) is not None:
            squares, error = diagonal.squares(activation, link.nngp), jnp.zeros(())
            curved = curvature(activation, _fixed(link.nngp))
        else:
            own, errors = zip(*(moment(activation, i, i, link.nngp) for i in (0, 1)), strict=True)
            squares, error = Squares(*own), jnp.maximum(*errors)
            curved, _ = moment(activation, 2, 2, _fixed(link.nngp))
        links.append((link, squares, curved))
        link = diagonal.next_link(scale, layer, link, squares, error + 4e-16)
    return [*links, (link, None, None)]


def _pairs(activation, scale: Scales, x, x2, links, others, tolerance: float) -> Block:
    root = x.shape[1] ** 0.5
    columns = x if x2 is None else x2
    same = jnp.eye(len(x), dtype=bool) if x2 is None else jnp.zeros((len(x), len(x2)), bool)
    layers = [Layer(*(s[l] for s in scale)) for l in range(len(scale.bias))]
    a, b = links[0][0].nngp, others[0][0].nngp
    state = tiles.first_state(layers[0], x / root, columns.T / root, *map(_fixed, (a, b)))
    for layer, *sides in zip(layers[1:], links, others, strict=False):
        given = [(link.nngp, *map(_root, (*own, curved))) for link, own, curved in sides]
        if closed_form(activation) is not None:
            moments = tiles.closed_moments(activation, state, same, given[0], given[1])
        else:
            own = sides[0][1]
            moments = _series_moments(activation, state, same, given[0], given[1], own, tolerance)
        fixed = jax.lax.stop_gradient(moments[2:])
        state = tiles.next_state(layer, state, Moments(moments.value, moments.slope, *fixed))
    return Block(state.nngp, state.ntk, _fixed(jnp.maximum(*state[2:])))


_fixed = jax.lax.stop_gradient


def _root(square: jax.Array) -> jax.Array:
    return jnp.sqrt(_fixed(square))


def _series_moments(activation, state: State, same, row, column, own: Squares, tolerance):
    (a, norm, slope, curve), (b, norm2, slope2, curve2) = row, column
    K = jnp.where(same, 0.0, state.nngp)
    (F, error), (G, slope_error) = (dual(activation, i, i, a, K, b) for i in (0, 1))
    F, G = (jnp.where(same, v[:, None], f) for v, f in zip(own, (F, G), strict=True))
    size, gain = norm[:, None] * norm2, slope[:, None] * slope2
    relative = tiles.relative_error(jnp.maximum(error, slope_error), tolerance)
    inherited = curve[:, None] * curve2 * state.nngp_error
    return Moments(F, G, relative * size, relative * gain + inherited, gain)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def dual(
    activation: Activation, i: int, j: int, a: jax.Array, K: jax.Array, b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """E[φ⁽ⁱ⁾(z₁)φ⁽ʲ⁾(z₂)] for all pairs, and its error relative to the norms.

    Args:
        activation: φ, smooth.
        i: derivatives of the first factor.
        j: of the second.
        a: variances of the rows.
        K: covariances (rows, columns).
        b: variances of the columns.
    """
    rows, columns = _single(activation, i, a), _single(activation, j, b)
    rho = tiles.correlation(a, K, b, jnp.zeros(K.shape, bool))
    product = Factors(rows.terms, columns.terms, rows.tail, columns.tail)
    (value,), left = mehler_sums([product], rho, 1, jnp.abs(rho), 1e-14)
    return value, left + rows.error[:, None] + columns.error


def _single(activation: Activation, order: int, variance: jax.Array) -> hermite_series.Single:
    return hermite_series.single(activation.derivative(order), _ORDERS, variance)


@dual.defjvp
def _dual_jvp(activation, i, j, primals, tangents):
    da, dK, db = tangents
    value, error = dual(activation, i, j, *primals)
    change = dual(activation, i + 1, j + 1, *primals)[0] * dK
    change = change + dual(activation, i + 2, j, *primals)[0] * da[:, None] / 2
    change = change + dual(activation, i, j + 2, *primals)[0] * db / 2
    return (value, error), (change, jnp.zeros_like(error))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1, 2))
def moment(
    activation: Activation, i: int, j: int, variance: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """E[φ⁽ⁱ⁾(z)φ⁽ʲ⁾(z)], z of the given variances (points,), and its relative error."""
    return hermite_series.mean(
        lambda z: activation.derivative(i)(z) * activation.derivative(j)(z), _ORDERS, variance
    )


@moment.defjvp
def _moment_jvp(activation, i, j, primals, tangents):
    value, error = moment(activation, i, j, *primals)
    terms = ((i + 2, j, 0.5), (i + 1, j + 1, 1.0), (i, j + 2, 0.5))
    slope = sum(factor * moment(activation, k, l, *primals)[0] for k, l, factor in terms)
    return (value, error), (slope * tangents[0], jnp.zeros_like(error))
