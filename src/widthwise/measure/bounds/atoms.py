r"""Readout laws with atoms: one summand's own Stein kernel, or Goldstein's bound, in projections.

A readout a with atoms has no Stein kernel, but X = a φ(z) may have one. Of one point with a
preactivation z ~ N(0, s²) and an odd, strictly increasing φ, X has the law of |a| φ(z), with

    p_X(x) = Σ_i π_i p_g(x/|a_i|)/|a_i|,    S(x) = E[X 1{X > x}] = Σ_i π_i |a_i| T(x/|a_i|),

g = φ(z), p_g = p_z/φ', T(y) = E[g 1{g > y}], and E τ_X² = ∫ S²/p_X. For a sum of n of them,

    W₂² ≤ (E τ_X² − σ⁴)/(n K),     σ² = E X²,  K = σ² + σ_b²,     W₁ ≤ √(2/π) of that.

An atom at 0, or a one-signed φ (p_X vanishes at 0 faster than any power), makes E τ_X² infinite.
Goldstein's bound needs the third moment alone: of n independent summands X of variance σ²,

    W₁(n^{-1/2} Σ X_k, N(0, σ²)) ≤ E|X|³/(σ² √n),

and a Gaussian bias, added to both, does not make it larger. Over all unit vectors v,

    max_v W₁(v·f) ≤ E|a|³ λ_max(M^{-1/2} E[|h| hhᵀ] M^{-1/2})/√n,     as |v·h|³ ≤ |h| (v·h)².

Source: Goldstein, Annals of Probability 38 (2010), 1672, ‖F_n − Φ‖₁ ≤ E|X|³/(σ³√n).
"""

import math

import numpy as np
from numpy.polynomial import legendre
from scipy.interpolate import CubicSpline

from widthwise.limit.first_layer.projection import evaluate, project
from widthwise.measure.bounds.features import Features
from widthwise.measure.bounds.kernel_moment import integration
from widthwise.measure.bounds.law_moment import absolute_moment
from widthwise.model.activations import Activation
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian, Law

_MARGIN = 3.0
_REACH = 9.0
_NODES = 16
_MIDDLE = 1800
_PIECES = (60, 120)
_TOLERANCE = 1e-4
_TAIL = 1e-200


def goldstein_constant(features: Features, law: Law) -> tuple[float, bool]:
    """G with W₁(v · outputs) ≤ G/√n for every unit vector v; of one output W₁ itself.

    Args:
        features: of the layer below the outputs.
        law: of the readout.

    Returns:
        G, and whether random points stand behind it.
    """
    lam, second = features.lam, features.second
    values, Q = np.linalg.eigh(second)
    kept = values > 1e-12
    white = (Q[:, kept] / np.sqrt(values[kept])).T  # of M, not of K
    rank = len(white)

    def observable(w: np.ndarray) -> np.ndarray:
        u = w @ white.T
        size = np.sqrt(w**2 @ lam)
        return (size[:, None, None] * u[:, :, None] * u[:, None, :]).reshape(len(w), -1)

    found = features.expectation(observable)
    matrix = found.value.reshape(rank, rank)
    top = float(np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1])
    G = absolute_moment(law, 3) * (top + _MARGIN * float(np.linalg.norm(found.error)))
    return G, found.random


def summand_kernel(net: MLP, x: np.ndarray) -> tuple[float, float, str]:
    """E τ_X² and σ² of X = σ_w a φ(z) at one point, or infinity and why.

    Args:
        net: one hidden layer.
        x: the point (1, inputs).
    """
    phi, law = net.activation, net.weight_law[net.depth]
    values, weights = law.quadrature(1)
    sizes = np.abs(values)
    projection = project(net, x)
    if sizes.min() < 1e-12:
        return math.inf, 0.0, f"the law {law.name} has an atom at 0, and so has every summand"
    if not all(isinstance(one, Gaussian) for one in projection.laws):
        return math.inf, 0.0, "the kernel of a·φ(z) is computed for a Gaussian first layer"
    s = float(np.linalg.norm(projection.coefficients))
    if phi.parity != "odd":
        why = f"the kernel of a·φ(z) needs an odd φ: E τ² may be infinite for {phi.name}"
        return math.inf, 0.0, why
    slopes = evaluate(phi.derivative(), np.linspace(0.0, _REACH * s, 4001))
    increasing = slopes.min() >= 0 and slopes[:_MIDDLE].min() > 0  # far out it may underflow
    if s == 0 or not phi.smooth or not increasing:
        return math.inf, 0.0, f"the kernel of a·φ(z) needs a strictly increasing φ, not {phi.name}"
    scale = float(net.weight_std[net.depth])
    sizes, index = np.unique(np.round(sizes, 14), return_inverse=True)
    masses = np.bincount(index, weights)
    coarse, fine = (_second(phi, s, sizes, masses, pieces) for pieces in _PIECES)
    error = abs(fine[0] - coarse[0])
    if not math.isfinite(fine[0]) or error > _TOLERANCE * fine[0]:
        return math.inf, 0.0, "∫ S²/p of the summands a·φ(z) did not converge"
    return scale**4 * (fine[0] + error), scale**2 * fine[1], ""


def _second(phi: Activation, s: float, sizes, masses, pieces: int) -> tuple[float, float]:
    """E τ² and E X² of X = |a| φ(z): integrals over x = max|a| φ(z) > 0, doubled."""
    nodes, weights = legendre.leggauss(_NODES)
    line = np.linspace(0, _REACH, pieces + 1) * s
    reached = evaluate(phi, line)
    finer = [_inverse(phi, b / sizes[-1] * reached, line, reached)[0] for b in sizes]
    edges = np.unique(np.concatenate(finer))  # every size has its own panels in x
    edges = edges[np.append(True, np.diff(edges) > 1e-12 * s)]
    half = np.diff(edges)[:, None] / 2
    z = (edges[:-1, None] + half * (1 + nodes)).ravel()
    weight = (half * weights).ravel()
    g, slope, mass = evaluate(phi, z), evaluate(phi.derivative(), z), _normal(z, s)
    variance = 2 * float(weight @ (g**2 * mass)) * float(masses @ sizes**2)
    parts = half * ((g * mass).reshape(half.shape[0], -1) @ integration(_NODES).T)
    whole = (weight * g * mass).reshape(parts.shape).sum(1)
    beyond = np.cumsum(whole[::-1])[::-1]
    log_tail = np.log(np.maximum((beyond[:, None] - parts).ravel(), _TAIL))
    tail = CubicSpline(z, log_tail)
    x, p, S = sizes[-1] * g, np.zeros_like(z), np.zeros_like(z)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for size, probability in zip(sizes, masses, strict=True):
            at, inside = _inverse(phi, x / size, z, g)
            density = _normal(at, s) / evaluate(phi.derivative(), at)
            p += np.where(inside, probability / size * density, 0.0)
            S += np.where(inside, probability * size * np.exp(tail(at)), 0.0)
        kept = (S > 1e10 * _TAIL) & (p > 0)
        integrand = np.where(kept, S / np.where(kept, p, 1.0) * S, 0.0)
    return 2 * float((weight * sizes[-1] * slope) @ integrand), variance


def _normal(z: np.ndarray, s: float) -> np.ndarray:
    return np.exp(-np.square(z / s) / 2) / (s * math.sqrt(2 * math.pi))


def _inverse(phi: Activation, y: np.ndarray, z: np.ndarray, g: np.ndarray):
    """φ^{-1}(y) for y ≥ 0 from a table, with Newton steps, and where it is inside the table."""
    at = np.interp(y, g, z)
    inside = y <= g[-1]
    for _ in range(3):
        step = (evaluate(phi, at) - y) / np.maximum(evaluate(phi.derivative(), at), 1e-300)
        at = np.where(inside, np.clip(at - step, 0.0, z[-1]), at)
    return at, inside
