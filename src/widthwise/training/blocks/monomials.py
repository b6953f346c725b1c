r"""Derivatives of a neuron along steps of training, as sums of monomials.

A neuron with preactivations z_p at the points p, readout weights A_c = σ_w a_c and φ_p = φ(z_p) has
the output h_p = A_p φ_p at point and component p, and the step that belongs to the residual of γ is

    D_γ:   δA_c = σ_w² φ_γ δ_cγ,      δz_p = A_γ φ'_γ k_pγ.

Every derivative along steps is therefore a sum of monomials

    σ_w^{2s} · ∏ A · ∏ δ · ∏ k · ∏_p φ^{(i_p)}_p,

with one factor φ per letter p, and one product rule makes them all. A step may be followed as it
changes (D_δ D_γ g, as along gradient flow) or be held fixed (∇²g[D_γ, D_δ], as within a step of
gradient descent): then the factors that it brought are not differentiated again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Monomial(NamedTuple):
    """One product, whose coefficient stands beside it.

    Args:
        orders: (letter, order) of the factors φ^{(order)}, by letter.
        readouts: letters c of the factors A_c, sorted.
        same: pairs of letters whose components are equal, sorted.
        covariances: pairs of letters (p, q) of the factors k_pq, sorted.
        scale: s, the power of σ_w².
    """

    orders: tuple[tuple[str, int], ...]
    readouts: tuple[str, ...] = ()
    same: tuple[tuple[str, str], ...] = ()
    covariances: tuple[tuple[str, str], ...] = ()
    scale: int = 0


Sum = Mapping[Monomial, int]
"""Monomials with their coefficients."""


def output(letter: str) -> Sum:
    """The output h itself."""
    return {Monomial(((letter, 0),), (letter,)): 1}


def along(terms: Sum, letter: str, fixed: Iterable[str] = ()) -> Sum:
    """The derivative along D of a new letter, what the fixed letters brought left alone."""
    held, total = frozenset(fixed), Counter[Monomial]()
    for term, count in terms.items():
        for derivative in _derivatives(term, letter, held):
            total[derivative] += count
    return dict(total)


def times_output(terms: Sum, letter: str) -> Sum:
    """The product with the output at another letter."""
    return {
        term._replace(
            orders=_sorted((*term.orders, (letter, 0))),
            readouts=_sorted((*term.readouts, letter)),
        ): count
        for term, count in terms.items()
    }


def _derivatives(term: Monomial, letter: str, held: frozenset[str]):
    for place, c in enumerate(term.readouts):
        if c not in held:
            yield term._replace(
                orders=_sorted((*term.orders, (letter, 0))),
                readouts=term.readouts[:place] + term.readouts[place + 1 :],
                same=_sorted((*term.same, _pair(c, letter))),
                scale=term.scale + 1,
            )
    for p, order in term.orders:
        if p not in held:
            raised = {**dict(term.orders), p: order + 1, letter: 1}
            yield term._replace(
                orders=_sorted(raised.items()),
                readouts=_sorted((*term.readouts, letter)),
                covariances=_sorted((*term.covariances, _pair(p, letter))),
            )
    # k_pq depends on no parameter


def _sorted(values) -> tuple:
    return tuple(sorted(values))


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a < b else (b, a)


# --- the tensors, at letters a (any row), b, x, y -------------------------------------------------

KERNEL = along(output("a"), "b")
THIRD = along(KERNEL, "x")
FOURTH = along(THIRD, "y")
STEP_SECOND = along(along(output("a"), "b"), "x", fixed="b")
TENSORS: Mapping[str, Sum] = {
    "T": THIRD,
    "U": FOURTH,
    "S": STEP_SECOND,
    "W": along(THIRD, "y", fixed="x"),
    "R": along(STEP_SECOND, "y"),
    "Q": along(STEP_SECOND, "y", fixed="bx"),
}
"""T = D_x κ, U = D_y T, S = ∇²h[D_b, D_x], W = ∇²κ[D_x, D_y], R = D_y S, Q = ∇³h[D_b, D_x, D_y]."""
