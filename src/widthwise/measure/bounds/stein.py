r"""Theorem 1: any readout law with a Stein kernel, any activation, any width.

Given the features, the outputs f = n^{-1/2} Σ_k a_k h_k + σ_b b 1 have the Stein kernel
τ_n = (1/n) Σ_k τ(a_k) h_k h_kᵀ + σ_b² 11ᵀ, τ that of the readout law
(:mod:`widthwise.measure.stein_kernel`), and a Stein kernel bounds W₂:

    W₂(X, N(0, K))² ≤ E ‖(τ − K) K^{-1/2}‖_F²

(the law moves to the Gaussian along the Ornstein–Uhlenbeck flow at a speed that the kernel bounds).
For the outputs A f of one component, in whitened features w (:mod:`.features`),

    W₂ ≤ C/√n,     C² = E τ² · E [|√λ∘w|² |w|²] − ‖√λ∘E wwᵀ‖_F²,

and the joint law of q components, whose readouts are independent, is at most √q as far. On the line
also W₁ ≤ √(2/π) C/√n, because |g'| ≤ √(2/π) for the solution of Stein's equation.

Source: Ledoux, Nourdin and Peccati (2015), Proposition 3.1, for general K; Chen, Goldstein and Shao
(2011), Lemma 2.4, on the line.
"""

import math

import numpy as np

from widthwise.measure.bounds.expectation import MARGIN
from widthwise.measure.bounds.features import Features


def stein_constant(features: Features, kernel_moment: float) -> tuple[float, float, bool]:
    """C, rounded up by the error of its expectation, that error relative to it, is it random.

    Args:
        features: of the layer below the outputs.
        kernel_moment: E τ² of the weights between them.
    """
    lam = features.lam
    found = features.expectation(lambda w: ((w**2 @ lam) * (w**2).sum(1))[:, None])
    fourth, error = float(found.value[0]), MARGIN * float(found.error[0])
    square = kernel_moment * (fourth + error) - float(lam @ (features.second**2).sum(1))
    return math.sqrt(max(square, 0.0)), error / max(fourth, 1e-300), found.random


def on_line(rank: int) -> float:
    """The factor from C/√n to W₁: √(2/π) on the line, 1 otherwise."""
    return math.sqrt(2 / np.pi) if rank == 1 else 1.0
