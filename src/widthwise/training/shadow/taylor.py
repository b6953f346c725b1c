"""Taylor coefficients of a function of parameters along a polynomial curve of parameters.

For θ(s) = θ₀ + sδ₁ + s²δ₂ + s³δ₃ the coefficients c₁, c₂, c₃ of s ↦ f(θ(s)), exactly. The function
is traced to its elementary operations, and coefficients travel through them:

* through a linear one (sum, reshape, mean, …) each by itself;
* through a bilinear one (product, matrix product, convolution) as a product of polynomials,
  w_k = Σ_j b(u_j, v_{k−j}); terms with the same large u_j are one operation on the stacked v's, so
  that a weight is read once;
* through an elementwise function g of one argument by Faà di Bruno's formula,

      w₁ = g′u₁,    w₂ = g′u₂ + ½ g″u₁²,    w₃ = g′u₃ + g″u₁u₂ + ⅙ g‴u₁³;

* through anything else by differentiating it three times along the curve.

What depends on θ₀ alone (features, g′, g″, g‴) stays while the curve moves: :func:`expand` computes
it once, and only the rest is repeated.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Literal
from jaxtyping import PyTree

Curve: TypeAlias = tuple[PyTree, PyTree, PyTree]
Terms: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]
"""Coefficients 1, 2 and 3 of one array."""
Moving: TypeAlias = Sequence[Terms | None]
"""Of several arrays; ``None`` for one that does not depend on the parameters."""
Push: TypeAlias = Callable[[Moving], Moving]
"""From coefficients of what goes into an operation to coefficients of what comes out."""

_LINEAR = {
    *("add", "add_any", "sub", "neg", "reduce_sum", "reshape", "transpose", "broadcast_in_dim"),
    *("squeeze", "convert_element_type", "slice", "concatenate", "rev", "copy", "cumsum"),
    *("reduce_window_sum",),
}
_BILINEAR = {"mul", "dot_general", "conv_general_dilated"}
_ELEMENTWISE = {
    *("tanh", "exp", "exp2", "log", "log1p", "expm1", "logistic", "erf", "erfc", "erf_inv", "sin"),
    *("cos", "tan", "sinh", "cosh", "asinh", "acosh", "atanh", "asin", "acos", "atan", "lgamma"),
    *("digamma", "sqrt", "rsqrt", "cbrt", "square", "integer_pow", "pow", "abs", "sign", "neg"),
    *("max", "min", "add", "sub", "mul", "div", "select_n", "stop_gradient", "ne", "eq", "lt"),
    *("le", "gt", "ge", "is_finite", "and", "or", "not", "copy", "convert_element_type"),
    *("broadcast_in_dim",),  # of constants: what moves has the shape of the result already
}
_CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call"}


class Expansion(NamedTuple):
    """A function at θ₀, and how coefficients of parameters become coefficients of its value.

    Args:
        value: f(θ₀).
        along: (δ₁, δ₂, δ₃) ↦ (c₁, c₂, c₃).
    """

    value: jax.Array
    along: Callable[[Curve], Terms]


def expand(function: Callable[[PyTree], jax.Array], base: PyTree) -> Expansion:
    """The expansion of a function about θ₀.

    Args:
        function: of a tree like ``base``, three times differentiable by JAX, to one array.
        base: θ₀.
    """
    leaves, structure = jax.tree.flatten(base)
    traced = jax.make_jaxpr(lambda *p: function(jax.tree.unflatten(structure, p)))(*leaves)
    (value,), _, push = _evaluate(traced.jaxpr, traced.consts, leaves, [True] * len(leaves))

    def along(curve: Curve) -> Terms:
        parts = (jax.tree.leaves(part) for part in curve)
        (terms,) = push(list(zip(*parts, strict=True)))
        still = jnp.zeros_like(value)
        return (still, still, still) if terms is None else terms

    return Expansion(value, along)


def _evaluate(
    jaxpr: Jaxpr, consts: Sequence, inputs: Sequence, moves: Sequence[bool]
) -> tuple[list, list[bool], Push]:
    """The values of a program at θ₀, which of them move, and how coefficients go through it."""
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *inputs), strict=True))
    moving = {v for v, m in zip(jaxpr.invars, moves, strict=True) if m}
    steps: list[tuple[JaxprEqn, Push]] = []

    def read(variable):
        return variable.val if isinstance(variable, Literal) else values[variable]

    def is_moving(variable) -> bool:
        return not isinstance(variable, Literal) and variable in moving

    for operation in jaxpr.eqns:
        given = [read(v) for v in operation.invars]
        which = [is_moving(v) for v in operation.invars]
        if any(which):
            found, moved, push = _operation(operation, given, which)
            steps.append((operation, push))
            moving |= {v for v, m in zip(operation.outvars, moved, strict=True) if m}
        else:
            found = _bind(operation, given)
        values.update(zip(operation.outvars, found, strict=True))

    def through(terms: Moving) -> Moving:
        known = dict(zip(jaxpr.invars, terms, strict=True))

        def of(variable) -> Terms | None:
            return known.get(variable) if is_moving(variable) else None

        for operation, push in steps:
            found = push([of(v) for v in operation.invars])
            known.update(zip(operation.outvars, found, strict=True))
        return [of(v) for v in jaxpr.outvars]

    return [read(v) for v in jaxpr.outvars], [is_moving(v) for v in jaxpr.outvars], through


def _operation(
    operation: JaxprEqn, given: list, moves: list[bool]
) -> tuple[list, list[bool], Push]:
    """One elementary operation: its value, whether that moves, and its way with coefficients."""
    name, inner = operation.primitive.name, _inner(operation)
    linear = name in _LINEAR or (
        (name == "div" and not moves[1]) or (name == "select_n" and not moves[0])
    )
    if inner is not None and name != "custom_jvp_call" and not _elementwise(operation):
        return _evaluate(inner.jaxpr, inner.consts, given, moves)
    found = _bind(operation, given)
    moved = [jnp.issubdtype(jnp.result_type(v), jnp.floating) for v in found]
    if linear:
        push = partial(_through_linear, operation, given, moves)
    elif name in _BILINEAR:
        push = partial(_through_bilinear, operation, given)
    elif _elementwise(operation) and moves.count(True) == 1 and len(found) == 1 and moved[0]:
        place = moves.index(True)
        if jnp.shape(given[place]) == jnp.shape(found[0]):
            push = partial(_through_elementwise, place, _derivatives(operation, given, place))
        else:
            push = partial(_through_any, operation, given, moved)
    else:
        push = partial(_through_any, operation, given, moved)
    return found, moved, push


def _bind(operation: JaxprEqn, given: Sequence) -> list:
    bound = operation.primitive.get_bind_params(operation.params)
    functions, parameters = bound if isinstance(bound, tuple) else ((), bound)  # until JAX 0.9
    found = operation.primitive.bind(*functions, *given, **parameters)
    return list(found) if operation.primitive.multiple_results else [found]


def _inner(operation: JaxprEqn):
    """The program of a call."""
    if operation.primitive.name not in _CALLS:
        return None
    return operation.params.get("jaxpr") or operation.params.get("call_jaxpr")


def _elementwise(operation: JaxprEqn) -> bool:
    inner = _inner(operation)
    if inner is None:
        return operation.primitive.name in _ELEMENTWISE
    return all(_elementwise(part) for part in inner.jaxpr.eqns)


def _through_linear(operation: JaxprEqn, given: list, moves: list[bool], terms: Moving) -> Moving:
    """Term by term; what does not move counts as 0, but for a predicate or a denominator."""
    kept = {"div": 1, "select_n": 0}.get(operation.primitive.name)

    def term(k: int):
        return _bind(
            operation,
            [
                v if i == kept else jnp.zeros_like(v) if t is None else t[k]
                for i, (v, t) in enumerate(zip(given, terms, strict=True))
            ],
        )[0]

    return [(term(0), term(1), term(2))]


def _through_bilinear(operation: JaxprEqn, given: list, terms: Moving) -> Moving:
    first_is_large = jnp.size(given[0]) >= jnp.size(given[1])

    def product(u, v):
        return _bind(operation, [u, v] if first_is_large else [v, u])[0]

    large, small = (0, 1) if first_is_large else (1, 0)
    u0, v0, u, v = given[large], given[small], terms[large], terms[small]
    one_by_one = operation.primitive.name == "mul"
    if v is None:
        assert u is not None
        return [(product(u[0], v0), product(u[1], v0), product(u[2], v0))]
    if u is None and one_by_one:
        return [(product(u0, v[0]), product(u0, v[1]), product(u0, v[2]))]
    if u is None:
        w1, w2, w3 = jax.vmap(partial(product, u0))(jnp.stack(v))
        return [(w1, w2, w3)]
    if one_by_one:
        return [
            (
                product(u0, v[0]) + product(u[0], v0),
                product(u0, v[1]) + product(u[0], v[0]) + product(u[1], v0),
                product(u0, v[2]) + product(u[0], v[1]) + product(u[1], v[0]) + product(u[2], v0),
            )
        ]
    by_u0 = jax.vmap(partial(product, u0))(jnp.stack(v))
    by_u1 = _on_stack(product, u[0], v0, v[:2])
    by_u2 = _on_stack(product, u[1], v0, v[:1])
    return [
        (
            by_u0[0] + by_u1[0],
            by_u0[1] + by_u1[1] + by_u2[0],
            by_u0[2] + by_u1[2] + by_u2[1] + product(u[2], v0),
        )
    ]


def _products_on_stack(product, u, v0, v: tuple[jax.Array, ...]) -> jax.Array:
    """The products of u with v₀, v₁, …, stacked; v₀ is constant.

    Backwards u's gradient is one operation over the stack, and nothing is computed for v₀.
    """
    return jax.vmap(partial(product, u))(jnp.stack([v0, *v]))


_on_stack = jax.custom_vjp(_products_on_stack, nondiff_argnums=(0,))


def _stack_forward(product, u, v0, v):
    return _on_stack(product, u, v0, v), (u, v0, v)


def _stack_backward(product, kept, cotangent):
    u, v0, v = kept
    everything = jnp.stack([v0, *v])
    _, to_u = jax.vjp(lambda u: jax.vmap(partial(product, u))(everything), u)
    _, to_v = jax.vjp(jax.vmap(partial(product, u)), everything[1:])
    (du,), (dv,) = to_u(cotangent), to_v(cotangent[1:])
    return du, jnp.zeros_like(v0), tuple(dv)


_on_stack.defvjp(_stack_forward, _stack_backward)


def _derivatives(operation: JaxprEqn, given: list, place: int) -> Terms:
    """g′, g″, g‴ of an elementwise function of the argument at ``place``."""

    def function(z):
        return _bind(operation, [*given[:place], z, *given[place + 1 :]])[0]

    def derivative(g):
        return lambda z: jax.jvp(g, (z,), (jnp.ones_like(z),))[1]

    first = derivative(function)
    second = derivative(first)
    z = given[place]
    return first(z), second(z), derivative(second)(z)


def _through_elementwise(place: int, derivatives: Terms, terms: Moving) -> Moving:
    u = terms[place]
    assert u is not None
    (u1, u2, u3), (g1, g2, g3) = u, derivatives
    bent = g2 * u1
    return [(g1 * u1, g1 * u2 + bent * u1 / 2, g1 * u3 + bent * u2 + g3 * u1 * u1 * u1 / 6)]


def _through_any(operation: JaxprEqn, given: list, moved: list[bool], terms: Moving) -> Moving:
    """By three nested forward derivatives along the curve."""

    def at(s):
        there = [
            v if t is None else v + s * (t[0] + s * (t[1] + s * t[2]))
            for v, t in zip(given, terms, strict=True)
        ]
        return [v for v, m in zip(_bind(operation, there), moved, strict=True) if m]

    def first(s):
        return jax.jvp(at, (s,), (1.0,))

    def second(s):
        (_, c1), (_, double_c2) = jax.jvp(first, (s,), (1.0,))
        return c1, double_c2

    (c1, double_c2), (_, sixfold_c3) = jax.jvp(second, (0.0,), (1.0,))
    found = iter(zip(c1, double_c2, sixfold_c3, strict=True))
    return [_scaled(*next(found)) if m else None for m in moved]


def _scaled(c1, double_c2, sixfold_c3) -> Terms:
    return c1, double_c2 / 2, sixfold_c3 / 6
