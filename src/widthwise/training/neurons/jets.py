r"""One neuron in a given residual field: the Taylor coefficients of its output in ε = n^{-1/2}.

All neurons see the same residuals r(s), so a neuron q moves only by its own equation, and its
output is h + ε h¹ + ε² h² + ε³ h³ + … with the Volterra functionals

    h¹[r](t) = −∫ κ r,    h²[r](t) = ∬_{s₁>s₂} T r(s₁) r(s₂),    h³[r](t) = −∭ U r r r,

κ the neuron's tangent kernel and T, U its derivatives along the gradients. They are read off the
expansion of (a, z): with ψ, ψ', ψ'', ψ''' at the initial z and S v = k_{·X} v,

    a₁ = −∫ ψ·r                         z₁ = −S∫ aψ' r                  h¹ = a₁ψ + aψ'z₁
    a₂ = −∫ ψ'z₁·r                      z₂ = −S∫ (a₁ψ' + aψ''z₁) r      h² = a₂ψ + a₁ψ'z₁ + …
    a₃ = −∫ (ψ'z₂ + ½ψ''z₁²)·r          z₃ = −S∫ (a₂ψ' + a₁ψ''z₁ + …) r

No tensor is formed. The earliest time carries the latest derivative, and there, for Gaussian a and
u, the law of the neuron can be integrated by parts (E ∇h_δ·∇G = E (𝒩h)_δ G with
𝒩h = a(ψ + zψ' − |x̃|²ψ'')):

    E h³[r] = E h²[c r, then r],      c(s) = −∫_0^s (𝒩h)_X · r,

the same mean with another variance. Exact; arrays are (stages, neurons, points).
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Float

Rows: TypeAlias = Float[jax.Array, "stages neurons _"]
Carry: TypeAlias = dict[str, jax.Array]


class Neurons(NamedTuple):
    """Neurons at initialization: a, and ψ and its derivatives on all and on the train points."""

    a: Float[jax.Array, "neurons 1"]
    psi: tuple[Float[jax.Array, "neurons points"], ...]
    train: tuple[Float[jax.Array, "neurons train"], ...]


class Moved(NamedTuple):
    """A coefficient of the expansion: of a, of z, and of the output h."""

    a: Float[jax.Array, "stages neurons 1"]
    z: Float[jax.Array, "stages neurons points"]
    h: Float[jax.Array, "stages neurons points"]


class Clock:
    """Integrals over time on one panel, and the values they start from and end with."""

    def __init__(self, integrals: Float[jax.Array, "stages stages"], start: Carry):
        self._integrals, self._start = integrals, start
        self.end: Carry = {}

    def before(self, name: str) -> jax.Array | float:
        """A value at the start of the panel, 0 on the first one."""
        return self._start.get(name, 0.0)

    def keep(self, name: str, value: jax.Array) -> None:
        self.end[name] = value

    def integral(self, name: str, rate: Rows) -> Rows:
        value = self.before(name) + jnp.tensordot(self._integrals, rate, 1)
        self.keep(name, value[-1])
        return value


class Jets(NamedTuple):
    """The expansion of neurons on one panel.

    Args:
        q: the neurons.
        spread: S.
        clock: integrals.
        bias_variance: σ_b² of the output, which belongs to every neuron's κ.
    """

    q: Neurons
    spread: Callable[[jax.Array], jax.Array]
    clock: Clock
    bias_variance: float

    def _move(self, name: str, a_rate: jax.Array, z_rate: jax.Array) -> tuple[Rows, Rows]:
        a = -self.clock.integral(name + ".a", a_rate.sum(-1, keepdims=True))
        return a, -self.spread(self.clock.integral(name + ".z", z_rate))

    def first(self, name: str, r: Rows) -> Moved:
        a, (t0, t1), (d0, d1) = self.q.a, self.q.train[:2], self.q.psi[:2]
        a1, z1 = self._move(name, t0 * r, a * t1 * r)
        h = a1 * d0 + a * d1 * z1
        if self.bias_variance:
            total = self.clock.integral(name + ".b", r.sum(-1, keepdims=True))
            h = h - self.bias_variance * total
        return Moved(a1, z1, h)

    def second(self, name: str, one: Moved, r: Rows) -> Moved:
        """h²[r]."""
        a, (d0, d1, d2) = self.q.a, self.q.psi[:3]
        _, t1, t2 = self.q.train[:3]
        z = one.z[..., : r.shape[-1]]
        a2, z2 = self._move(name, t1 * z * r, (one.a * t1 + a * t2 * z) * r)
        h = a2 * d0 + d1 * (one.a * one.z + a * z2) + 0.5 * a * d2 * one.z**2
        return Moved(a2, z2, h)

    def mixed(self, name: str, one: Moved, r: Rows, other: Moved, s: Rows) -> Rows:
        """h²[r, then s] + h²[s, then r], the polarization of h² times 2."""
        a, (d0, d1, d2) = self.q.a, self.q.psi[:3]
        _, t1, t2 = self.q.train[:3]
        z, w = one.z[..., : r.shape[-1]], other.z[..., : r.shape[-1]]
        z_rate = (one.a * t1 + a * t2 * z) * s + (other.a * t1 + a * t2 * w) * r
        a2, z2 = self._move(name, t1 * (z * s + w * r), z_rate)
        crossed = one.a * other.z + other.a * one.z
        return a2 * d0 + d1 * (crossed + a * z2) + a * d2 * one.z * other.z

    def third(self, name: str, one: Moved, two: Moved, r: Rows) -> Rows:
        """h³[r]."""
        a, (d0, d1, d2, d3) = self.q.a, self.q.psi
        _, t1, t2, t3 = self.q.train
        z1, z2 = one.z[..., : r.shape[-1]], two.z[..., : r.shape[-1]]
        curved = t2 * z2 + 0.5 * t3 * z1**2
        a3, z3 = self._move(
            name, (t1 * z2 + 0.5 * t2 * z1**2) * r, (two.a * t1 + one.a * t2 * z1 + a * curved) * r
        )
        square = one.z**2
        return (
            a3 * d0
            + two.a * d1 * one.z
            + one.a * (d1 * two.z + 0.5 * d2 * square)
            + a * (d1 * z3 + d2 * one.z * two.z + d3 * one.z * square / 6)
        )

    def third_by_parts(self, norms: Float[jax.Array, " train"], r: Rows) -> Rows:
        """A function of the mean of h³[r], for Gaussian neurons: h²[c r, then r]."""
        a, (d0, d1, d2) = self.q.a, self.q.psi[:3]
        t0, t1, t2 = self.q.train[:3]
        preactivations = self.q.train[-1]
        adjoint = a * (t0 + preactivations * t1 - norms * t2)
        c = -self.clock.integral("c", (adjoint * r).sum(-1, keepdims=True))
        a1, z1 = self._move("one", t0 * c * r, a * t1 * c * r)
        z = z1[..., : r.shape[-1]]
        a_speed, z_speed = -(t0 * r).sum(-1, keepdims=True), -self.spread(a * t1 * r)
        a2, z2 = self._move("two", t1 * z * r, (a1 * t1 + a * t2 * z) * r)
        product = self.clock.integral(
            "product", d1 * (a_speed * z1 + a1 * z_speed) + a * d2 * z_speed * z1
        )
        return a2 * d0 + a * d1 * z2 + product
