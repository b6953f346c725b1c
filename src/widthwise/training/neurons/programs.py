r"""Compiled sums over neurons: what has to be averaged for the 1/n terms that are even in a.

Averages are over a neuron q and an independent F ~ N(0, K). With r₀ = e^{−Θs}(F_X − y),
r_h = e^{−Θs}h_X, Resp[H] the solution of the Volterra equation of :mod:`.panels`, ℓ[v] = (A_s − 1)v
the mean of h¹ under e^{−Θs}v, and

    g = Resp[h¹[r₀] − ℓ[F − y]]                    (the fluctuation of κ_q, once)
    H = h¹[g] − g + (h¹[r₀] − ℓ[F − y]) + 2B(r_h, r₀)      (twice, and the drift that h drives)
    G = h¹[r_h] − ℓ[h] + h²[r₀]

the mean and the covariance of f_t at order 1/n are

    m₁ = Resp E[H + h³[r₀]],
    K₁ = E[g gᵀ] + sym E[(A_t F) ⊗ Resp[H + h³[r₀]]] + sym E[(A_t h) ⊗ Resp[G]],

sym X = X + Xᵀ, up to terms that vanish with E a³ (:mod:`.skewed`). F and −F go together, which
separates what is even in F from what is odd. ``pairs`` sums all but h³; ``cubic`` and
``cubic_by_parts`` sum h³, far noisier and cheaper. Sums are of forcings, before Resp: the response
is linear and is taken once, in float64.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from widthwise.training.neurons.jets import Carry, Clock, Jets, Neurons
from widthwise.training.neurons.panels import Panels
from widthwise.training.neurons.problem import Problem

Sums: TypeAlias = dict[str, Any]


class Constants(NamedTuple):
    """Arrays all neurons share, in the precision of the fields."""

    Q: jax.Array
    response: jax.Array
    labels: jax.Array
    first_kernel: jax.Array | None  # k_{X·}, or None where features are used
    features: jax.Array
    norms: jax.Array


class Nodes(NamedTuple):
    """Tables of the panels, in the precision of the fields."""

    integrals: jax.Array
    decay: jax.Array
    primitive: jax.Array
    solve: jax.Array  # (panels, stages, stages, train)


class Batch(NamedTuple):
    """Neurons with ±F: the halves of the batch axis are +F and −F with the same neurons."""

    neurons: Neurons
    half: Neurons
    h: Float[jax.Array, "half points"]
    F: Float[jax.Array, "half points"]
    weights: Float[jax.Array, "half 1"]
    start: Float[jax.Array, "neurons train"]
    rotated: Float[jax.Array, "neurons train"]
    h_rotated: Float[jax.Array, "half train"]


Program: TypeAlias = Callable[[Constants, Nodes, Batch, float, Carry], tuple[Carry, Sums]]


def constants(of: Problem, dtype: np.dtype) -> Constants:
    """The shared arrays; S v goes through the features where that is cheaper."""
    A, m, p = of.sources.coefficients, of.train, of.points
    k = of.first_kernel
    cheap = A.shape[1] * (m + p) < m * p

    def cast(v: np.ndarray) -> jax.Array:
        return jnp.asarray(v, dtype)

    return Constants(
        cast(of.vectors),
        cast(of.flow.ntk[m:] @ of.vectors),
        cast(of.labels),
        None if cheap else cast(k[:m]),
        cast(A),
        cast(np.diag(k)[:m]),
    )


def nodes(grid: Panels, dtype: np.dtype) -> Nodes:
    solve = np.moveaxis(grid.solve, 1, -1)
    tables = (grid.integrals, grid.decay, grid.primitive, solve)
    return Nodes(*(jnp.asarray(v, dtype) for v in tables))


@partial(
    jax.jit,
    static_argnames=("program", "derivatives", "scale", "bias_variance"),
    compiler_options={"xla_cpu_multi_thread_eigen": False},
)
def accumulate(
    total: Sums,
    a: Float[jax.Array, " half"],
    s: Float[jax.Array, "half sources"],
    xi: Float[jax.Array, "half fields"],
    weights: Float[jax.Array, " half"],
    maps: tuple[Float[jax.Array, "points sources"], Float[jax.Array, "points fields"]],
    shared: Constants,
    grid: Nodes,
    *,
    program: Program,
    derivatives: tuple[Callable, ...],
    scale: float,
    bias_variance: float,
) -> Sums:
    """``total`` plus the weighted sums over a batch of neurons, each with +F and with −F.

    The maps take the numbers s and ξ to z and F.
    """
    z, F = s @ maps[0].T, xi @ maps[1].T
    batch = _batch(a, z, F, weights, shared, derivatives, scale)

    def one(carry: Carry, panel: Nodes) -> tuple[Carry, Sums]:
        return program(shared, panel, batch, bias_variance, carry)

    first = jax.tree.map(lambda v: v[0], grid)
    shapes, _ = jax.eval_shape(lambda: one({}, first))
    start = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    _, sums = jax.lax.scan(one, start, grid)
    return {name: total[name] + sums[name] for name in total}


def nothing(program: Program, shared: Constants, grid: Nodes) -> Sums:
    """The sums of a program over no neurons."""
    panels, stages = grid.decay.shape[:2]
    p = len(shared.features)
    sizes = {"mean": (panels, stages, p), "F": (panels, stages, p, p)}
    if program is pairs:
        sizes |= {"h": (panels, stages, p, p), "g": (panels, p, p)}
    return {name: jnp.zeros(shape, shared.Q.dtype) for name, shape in sizes.items()}


def _batch(a, z, F, weights, shared: Constants, derivatives, scale: float) -> Batch:
    kind, m = shared.Q.dtype, len(shared.Q)
    psi = [(scale * f(z)).astype(kind) for f in derivatives]
    a, z, F, weights = a.astype(kind), z.astype(kind), F.astype(kind), weights.astype(kind)

    def neurons(copies: int) -> Neurons:
        rows = tuple(jnp.concatenate([v] * copies) for v in psi)
        train = tuple(v[:, :m] for v in rows)
        inputs = jnp.concatenate([z[:, :m]] * copies)
        return Neurons(jnp.concatenate([a] * copies)[:, None], rows, (*train, inputs))

    half = neurons(1)
    h = half.a * psi[0]
    start = jnp.concatenate([F, -F])[:, :m] - shared.labels
    return Batch(
        neurons(2), half, h, F, weights[:, None], start, start @ shared.Q, h[:, :m] @ shared.Q
    )


def _spread(shared: Constants) -> Callable[[jax.Array], jax.Array]:
    k = shared.first_kernel
    if k is not None:
        return lambda v: v @ k
    m = len(shared.Q)
    return lambda v: (v @ shared.features[:m]) @ shared.features.T


def _field(shared: Constants, panel: Nodes, start: jax.Array, rotated: jax.Array):
    """The field r = e^{−Θs}v on the train points, and ℓ[v] = (A_s − 1)v on all points."""
    r = (panel.decay[:, None] * rotated) @ shared.Q.T
    test = -(panel.primitive[:, None] * rotated) @ shared.response.T
    return r, jnp.concatenate([r - start, test], -1)


def _respond(shared: Constants, panel: Nodes, clock: Clock, H: jax.Array) -> jax.Array:
    """Resp[H] at the nodes of a panel."""
    m = len(shared.Q)
    turned = jnp.concatenate([H[..., :m] @ shared.Q, H[..., m:]], -1)
    right = turned + clock.before("response")
    train = (panel.solve[:, :, None] * right[None, ..., :m]).sum(1)
    driven = jnp.tensordot(panel.integrals, train @ shared.response.T, 1)
    test = right[..., m:] - driven
    clock.keep("response", jnp.concatenate([train[-1], test[-1]], -1) - turned[-1])
    return jnp.concatenate([train @ shared.Q.T, test], -1)


@partial(jax.jit, compiler_options={"xla_cpu_multi_thread_eigen": False})
def responses(
    shared: Constants, grid: Nodes, forcing: Float[jax.Array, "panels stages rows points"]
) -> Float[jax.Array, "panels rows points"]:
    """Resp of forcings, each a row, at the end of every panel."""

    def one(carry: Carry, panel: tuple[Nodes, jax.Array]) -> tuple[Carry, jax.Array]:
        clock = Clock(panel[0].integrals, carry)
        g = _respond(shared, panel[0], clock, panel[1])
        return clock.end, g[-1]

    start = {"response": jnp.zeros(forcing.shape[2:], forcing.dtype)}
    return jax.lax.scan(one, start, (grid, forcing))[1]


def _halves(v: jax.Array) -> tuple[jax.Array, jax.Array]:
    plus, minus = jnp.split(v, 2, axis=-2)
    return plus + minus, plus - minus


def _outer(rows: jax.Array, forcing: jax.Array) -> jax.Array:
    """Σ_q rows_q ⊗ forcing_q: (stages, points, points)."""
    return jnp.einsum("qa,kqx->kax", rows, forcing) / 2


def _of_fields(batch: Batch, forcing: jax.Array) -> Sums:
    even, odd = _halves(forcing)
    w = batch.weights
    return {"mean": (w * even).sum(-2) / 2, "F": _outer(w * batch.F, odd)}


def pairs(
    shared: Constants, panel: Nodes, batch: Batch, bias_variance: float, start: Carry
) -> tuple[Carry, Sums]:
    """Sums of H, of F ⊗ H, of h ⊗ G, and of g ⊗ g at the panel's end."""
    clock, spread, m = Clock(panel.integrals, start), _spread(shared), len(shared.Q)
    q = Jets(batch.neurons, spread, clock, bias_variance)
    own = Jets(batch.half, spread, clock, bias_variance)
    r, expected = _field(shared, panel, batch.start, batch.rotated)
    s, expected_h = _field(shared, panel, batch.h[:, :m], batch.h_rotated)
    one = q.first("r", r)
    forced = one.h - expected
    g = _respond(shared, panel, clock, forced)
    driven = own.first("h", s)
    both = jax.tree.map(lambda v: jnp.concatenate([v, v], -2), driven)
    crossed = q.mixed("hr", both, jnp.concatenate([s, s], -2), one, r)
    H = q.first("g", g[..., :m]).h - g + forced + crossed
    G = q.second("rr", one, r).h + both.h - jnp.concatenate([expected_h] * 2, -2)
    w = batch.weights
    sums = _of_fields(batch, H)
    sums["h"] = _outer(w * batch.h, _halves(G)[0])
    sums["g"] = (jnp.concatenate([w / 2] * 2) * g[-1]).T @ g[-1]
    return clock.end, sums


def cubic(
    shared: Constants, panel: Nodes, batch: Batch, bias_variance: float, start: Carry
) -> tuple[Carry, Sums]:
    """Sums of h³[r₀] and of F ⊗ h³[r₀]."""
    clock = Clock(panel.integrals, start)
    neurons = batch.neurons._replace(train=batch.neurons.train[:4])
    q = Jets(neurons, _spread(shared), clock, 0.0)
    r, _ = _field(shared, panel, batch.start, batch.rotated)
    one = q.first("r", r)
    two = q.second("rr", one, r)
    return clock.end, _of_fields(batch, q.third("rrr", one, two, r))


def cubic_by_parts(
    shared: Constants, panel: Nodes, batch: Batch, bias_variance: float, start: Carry
) -> tuple[Carry, Sums]:
    """The sums of ``cubic``, integrated by parts once; for Gaussian neurons."""
    clock = Clock(panel.integrals, start)
    q = Jets(batch.neurons, _spread(shared), clock, 0.0)
    r, _ = _field(shared, panel, batch.start, batch.rotated)
    return clock.end, _of_fields(batch, q.third_by_parts(shared.norms, r))
