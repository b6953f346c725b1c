r"""How far the norms of :mod:`widthwise.certify.constants.layers` can move on |θ - θ̂| ≤ R.

Primes are anywhere on the ball. z^l moves by at most ζ^l in Euclidean norm: R, shared between the
layers, times the root of the sum over j of (|D̄^{l←j}| |h̃^j|)², h̃ at the centre, W' at the edge and
φ' averaged from one to the other: z'^l - z^l = Σ_j D̄^{l←j} dV_j h̃^j, and what bounds D' bounds D̄,
as it needs |δ|₂, |δ|_∞, |dW| and |φ'| ≤ M1 alone. Then φ'(z^l) moves by δ^l,

    |δ^l|₂ ≤ σ_l = M2 ζ^l,     |δ^l|_∞ ≤ min(σ_l, 2 M1),

and everything else by telescoping products, one factor moved at a time. With J, D, S, s, g as
there and F^{p←l} = ∂h^p/∂h^l,

    D' - D = Σ_p J'^{l←p} diag(δ^p) D^{p←j} + c D'^{l←p+1} dW^{p+1} diag(s^p) D^{p←j},   j ≤ p < l,
    g'^l - g^l = Σ_{p>l} J^{p←l}ᵀ (δ^p g'^p) + c_p F^{p-1←l}ᵀ dW^pᵀ s'^p g'^p + c F^{L←l}ᵀ dAᵀ,

A change δ in the middle is not worth |δ|_∞ of two operator norms, and not the largest column
either: |J diag(δ) D| ≤ |δ|₂ |Jᵀ|_{2→4} |D|_{2→4}. In the norm 2→4 itself a change of D weighs still
less, |J diag(δ) D|_{2→4} ≤ max_a |J e_a|₄ |δ|₂ |D|, by |δ∘Dv|₁ ≤ |δ|₂ |Dv|₂. The gradient is
followed in the Euclidean norm and in the maximum over neurons, for which J enters by its largest
column.

For S, b = φ'' g the bend, both sides expand around the centre, where their sums over layers are
products with S itself, signs included: S' - S is

    Σ_l D'^{l←j}ᵀ diag(b'^l - b^l) D'^{l←k} + Σ_l (D'-D)^{l←j}ᵀ diag(b^l) (D'-D)^{l←k}
    + Σ_{p≥k} S^{j,p+1} Δ^p D'^{p←k} + (Σ_{p≥j} S^{k,p+1} Δ^p D'^{p←j})ᵀ,
    Δ^p = J^{p+1←p} diag(δ^p) + c dW^{p+1} diag(s'^p).

The first sum is at most |b' - b|₂ |D'^{l←j}|_{2→4} |D'^{l←k}|_{2→4} per layer: the width enters
by max|g| in |φ'''δz g|₂. No norm exceeds what M1 and M2 allow. Rounding enters as one more
displacement.
"""

from dataclasses import dataclass

import numpy as np

from widthwise.certify.constants.layers import Centre, Pairs, Points
from widthwise.certify.evaluation import SAFE, UNIT, Evaluation, norms


@dataclass(frozen=True, eq=False)
class Bend:
    """φ'' ∂f/∂h of one layer: its largest entry, and how far it can be from that at the centre.

    The change has a part from φ'' and a part from the gradient, each (Euclidean norm, maximum).
    """

    largest: Points
    curved: tuple[Points, Points]
    driven: tuple[Points, Points]


@dataclass(frozen=True, eq=False)
class Edge:
    """The largest norms on a ball, an entry for each point, and how far from the centre.

    Args:
        moves: ζ, by layer.
        inputs: how far h̃^l moves, by layer.
        slopes: max |φ'|, by layer.
        turns: |δ|₂ and |δ|_∞, by layer.
        derivatives: |D^{l←j}| by (l, j), and the change of D.
        fourths: |D^{l←j}|_{2→4}.
        bends: one :class:`Bend` for each layer.
        gradients: |∂f/∂z^l|, by layer.
        turned: how far ∂f/∂z^l is from that at the centre, by layer; it can turn at equal length.
    """

    moves: list[Points]
    inputs: list[Points]
    slopes: list[Points]
    turns: list[tuple[Points, Points]]
    derivatives: dict[tuple[int, int], tuple[Points, Points]]
    fourths: Pairs
    bends: list[Bend]
    gradients: list[Points]
    turned: list[Points]


def edge_of(at: Evaluation, centre: Centre, rows: list[Points], radius: float) -> Edge:
    """The norms on the ball of this radius; ``rows`` are |h̃^l|."""
    forward = _Forward(at, centre, rows, radius)
    bends, gradients, turned = _backward(at, centre, forward, radius)
    return Edge(
        forward.moves,
        forward.inputs,
        forward.slopes,
        forward.turns,
        forward.derivatives,
        forward.fourths,
        bends,
        gradients,
        turned,
    )


def hessian_change(at: Evaluation, centre: Centre, edge: Edge, radius: float) -> Pairs:
    """How far S^{jk} can be from that at the centre, by (j, k), j ≤ k."""
    depth = at.problem.depth
    made = {}
    for k in range(depth):
        for j in range(k + 1):
            change = np.zeros(len(at.problem.x))
            for l in range(k, depth):
                change = change + _bent(edge, l, j, k)
                left, right = edge.derivatives[l, j], edge.derivatives[l, k]
                change = change + left[1] * centre.bends[l] * right[1]
            for p in range(k, depth - 1):
                change = change + _shifted(at, centre, edge, radius, j, k, p)
            for p in range(j, depth - 1):
                change = change + _shifted(at, centre, edge, radius, k, j, p)
            made[j, k] = change * SAFE
    return made


def _bent(edge: Edge, l: int, j: int, k: int) -> Points:
    """D'^{l←j}ᵀ diag(b' - b) D'^{l←k}."""
    whole = edge.derivatives[l, j][0] * edge.derivatives[l, k][0]
    fourths = edge.fourths[l, j] * edge.fourths[l, k]
    bend = edge.bends[l]
    return sum(
        np.minimum(euclidean * fourths, largest * whole)
        for euclidean, largest in (bend.curved, bend.driven)
    )  # pyright: ignore[reportReturnType]


def _shifted(
    at: Evaluation, centre: Centre, edge: Edge, radius: float, j: int, k: int, p: int
) -> Points:
    """S^{j,p+1} Δ^p D'^{p←k}."""
    hessian = centre.hessians[min(j, p + 1), max(j, p + 1)]
    column, norm = centre.turned[j, p], hessian * centre.jumps[p + 1, p]
    euclidean, largest = edge.turns[p]
    below = edge.derivatives[p, k][0]
    if p == k:
        turned = np.minimum(euclidean * column, largest * norm)
    else:
        raised = np.sqrt(column * norm)
        turned = np.minimum(euclidean * raised * edge.fourths[p, k], largest * norm * below)
    return turned + at.problem.scales[p + 1] * radius * hessian * edge.slopes[p] * below


class _Forward:
    """ζ, φ' and D on the ball, layer by layer."""

    def __init__(self, at: Evaluation, centre: Centre, rows: list[Points], radius: float):
        p = at.problem
        self._at, self._centre, self._radius = at, centre, radius
        points, m1, m2 = len(p.x), p.bounds.slope, p.bounds.curvature
        one, none = np.ones(points), np.zeros(points)
        self.derivatives = {(l, l): (one, none) for l in range(p.depth)}
        self.fourths = {(l, l): one for l in range(p.depth)}
        self._fourth_changes = dict.fromkeys(self.fourths, none)
        self.jumps, self.columns, self.raised, self._quartic = {}, {}, {}, {}
        self.moves, self.slopes, self.turns = [], [], []
        self.inputs = [none]
        for l in range(p.depth):
            for j in reversed(range(l)):
                self._jump(l, j)
                self._derivative(l, j)
            path = [self.derivatives[l, j][0] * rows[j] for j in range(l + 1)]
            slack = _slack(at, l)
            self.moves.append((radius * np.sqrt((np.array(path) ** 2).sum(0)) + slack) * SAFE)
            turn = m2 * self.moves[l] * SAFE
            self.turns.append((turn, np.minimum(turn, 2 * m1)))
            self.slopes.append(np.minimum(m1, centre.slopes[l] + turn))
            self.inputs.append(p.scales[l + 1] * m1 * self.moves[l])

    def _jump(self, l: int, p: int):
        """J'^{l←p}: |J'|, its largest columns, and |J'ᵀ|_{2→4}."""
        c, scale = self._centre, self._at.problem.scales[p + 1]
        whole, change = self.derivatives[l, p + 1]
        apart = whole * scale * self._radius
        operator = scale * c.operators[p + 1]
        self.jumps[l, p] = SAFE * np.minimum(
            c.jumps[l, p] + change * operator + apart, whole * operator + apart
        )
        self.columns[l, p], self.raised[l, p] = (
            np.minimum(norm[l, p] + change * norm[p + 1, p] + apart, self.jumps[l, p]) * SAFE
            for norm in (c.columns, c.raised)
        )
        moved = self._fourth_changes[l, p + 1] * c.columns[p + 1, p]
        moved = moved + self.fourths[l, p + 1] * scale * self._radius
        self._quartic[l, p] = np.minimum(c.quartic[l, p] + moved, self.columns[l, p]) * SAFE

    def _derivative(self, l: int, j: int):
        """D'^{l←j}: |D'| with the change of D, and |D'|_{2→4}."""
        c, at, m1 = self._centre, self._at, self._at.problem.bounds.slope
        change, fourth_change = np.zeros(len(at.problem.x)), np.zeros(len(at.problem.x))
        for p in range(j, l):
            euclidean, largest = self.turns[p]
            below, fourth = (1.0, 1.0) if p == j else (c.derivatives[p, j], c.fourths[p, j])
            raised = self.columns[l, p] if p == j else self.raised[l, p]
            turned = np.minimum(euclidean * raised * fourth, largest * self.jumps[l, p] * below)
            moved = at.problem.scales[p + 1] * self._radius * c.slopes[p] * below
            change = change + turned + moved * self.derivatives[l, p + 1][0]
            turned = np.minimum(turned, euclidean * self._quartic[l, p] * below)
            fourth_change = fourth_change + turned + moved * self.fourths[l, p + 1]
        whole = np.minimum(c.derivatives[l, j] + change, self.jumps[l, j] * m1)
        self.derivatives[l, j] = whole * SAFE, change * SAFE
        self._fourth_changes[l, j] = fourth_change * SAFE
        self.fourths[l, j] = np.minimum(c.fourths[l, j] + fourth_change, whole) * SAFE


def _slack(at: Evaluation, l: int) -> Points:
    """Rounding of z^l and of the activation there, as a displacement of z^l."""
    p = at.problem
    error = norms(at.forward_errors[1][l]) * SAFE
    if p.bounds.curvature == 0:
        return error
    z = at.preactivation(l)[0]
    ratio = p.bounds.slope / p.bounds.curvature
    return error + 64 * UNIT * (norms(z) + z.shape[1] ** 0.5 * ratio)


def _backward(at: Evaluation, centre: Centre, forward: _Forward, radius: float):
    """The bends, |∂f/∂z|, and how far ∂f/∂z is from that at the centre, by layer."""
    p, m2 = at.problem, at.problem.bounds.curvature
    bends: list = [None] * p.depth
    driven: list = [None] * p.depth
    turned: list = [None] * p.depth + [np.zeros(len(p.x))]
    gradients: list = [None] * p.depth + [np.ones(len(p.x))]
    readout = float(np.linalg.norm(at.blocks[-1].weight))
    operators = [*centre.operators, readout]
    for l in reversed(range(p.depth)):
        rounding = norms(at.backward_errors[0][l])
        change, largest = (
            sum(jump[q, l] * driven[q] for q in range(l + 1, p.depth))
            + radius * _shared(p.scales, centre.slopes, jump, gradients, l)
            + rounding
            for jump in (centre.jumps, centre.columns)
        )
        total = norms(at.backward[0][l]) * SAFE
        whole = p.scales[l + 1] * (operators[l + 1] + radius) * gradients[l + 1]
        whole = np.minimum(total + change, whole) * SAFE
        change = np.minimum(change, total + whole)
        largest = np.minimum(change, largest)
        bends[l] = _bend(at, centre, forward, l, change, largest)
        euclidean, most = forward.turns[l]
        driven[l] = np.minimum(euclidean * (centre.peaks[l] + largest), most * whole) * SAFE
        apart = change * forward.slopes[l] + centre.peaks[l] * m2 * forward.moves[l]
        apart = apart + norms(at.backward_errors[1][l])
        size = np.minimum(centre.gradients[l] + apart, forward.slopes[l] * whole)
        gradients[l] = size * SAFE
        turned[l] = np.minimum(apart, centre.gradients[l] + size) * SAFE
    return bends, gradients, turned


def _shared(scales, slopes: list[Points], jump: Pairs, gradients: list, l: int):
    """The parts in dW^{l+1}, …, dA, between which the radius is shared."""
    total = 0.0
    for q in range(l, len(slopes)):
        below = 1.0 if q == l else slopes[q] * jump[q, l]
        total = total + (scales[q + 1] * below * gradients[q + 1]) ** 2
    return np.sqrt(total)


def _bend(at: Evaluation, centre: Centre, forward: _Forward, l: int, change, largest) -> Bend:
    p, bounds = at.problem, at.problem.bounds
    rounding = 64 * UNIT * bounds.curvature
    root = at.blocks[l].weight.shape[0] ** 0.5
    most = np.full(len(p.x), 2 * bounds.curvature)
    total = most * root
    if np.isfinite(bounds.third):
        moved = bounds.third * forward.moves[l]
        most = np.minimum(most, moved + rounding)
        total = np.minimum(total, moved + rounding * root)
    curved = centre.peaks[l] * total * SAFE, centre.peaks[l] * most * SAFE
    driven = bounds.curvature * change * SAFE, bounds.curvature * largest * SAFE
    bend = np.minimum(
        centre.bends[l] + curved[1] + driven[1], (centre.peaks[l] + largest) * bounds.curvature
    )
    return Bend(bend * SAFE, curved, driven)
