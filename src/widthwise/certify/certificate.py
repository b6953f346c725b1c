"""A certificate: a theorem about one network, its data and its training, with every number in it.

A certificate that holds says: gradient flow (or descent) started at these parameters, or, where
``from_start`` is false, descent started at the computed iterate ``since``, converges to zero loss;
how fast; how far the parameters move; how far the tangent kernel moves from Θ_0 and the outputs
from the linear flow of Θ_0. One that does not hold says which hypothesis is missing and by how
much. It is silent about what training does: a network that is not certified may well converge.

Norms are Euclidean for parameters and stacked outputs, spectral for kernels. Parameters are
measured in the coordinates in which training is plain gradient descent: the standardized ones in
the NTK parametrization, each divided by the root of its learning rate in the standard one.

Printed upper bounds are rounded up and lower bounds down (:mod:`widthwise.certify.outward`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from widthwise.certify.outward import below, down, up

Dynamics: TypeAlias = Literal["flow", "descent"]
Relation: TypeAlias = Literal["<", "<=", ">", ">="]
_HOLDS = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
TITLES = {
    "textbook": "the textbook ball argument",
    "path": "path length (Theorem 1)",
    "linear_reference": "linear reference (Theorem 2')",
    "descent_path": "path length of gradient descent (Theorem 3)",
    "sign_flips": "sign flips along the linear flow (Theorem 2)",
    "trajectory": "validated trajectory (Theorem 4)",
    "descent_trajectory": "iterates, then the path length of gradient descent (Theorem 3)",
}


@dataclass(frozen=True)
class Hypothesis:
    """One hypothesis of a theorem: ``number`` stands in ``relation`` to ``bound``.

    Args:
        name: what is compared.
        number: its value here, rounded in the unfavourable direction.
        relation: ``"<"``, ``"<="``, ``">"`` or ``">="``.
        bound: what it is compared with.
    """

    name: str
    number: float
    relation: Relation
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the comparison comes out true; not a number is false."""
        return bool(_HOLDS[self.relation](self.number, self.bound))

    def __str__(self) -> str:
        sign = {"<=": "≤", ">=": "≥"}.get(self.relation, self.relation)
        mark = "holds" if self.holds else "FAILS"
        strict = self.relation in "<>"
        if self.relation in ("<", "<="):
            number, bound = below(self.number, self.bound, strict=strict)
        else:
            bound, number = below(self.bound, self.number, strict=strict)
        return f"{mark:5}  {self.name}: {number} {sign} {bound}"


@dataclass(frozen=True)
class Certificate:
    """What is proven about the training of one network.

    Numbers that are not proven are ``None``.

    Args:
        holds: whether convergence to zero loss is certified.
        method: the theorem that decided; under ``"auto"`` the last one tried if none holds.
        dynamics: ``"flow"`` or ``"descent"``.
        reason: the conclusion, or why there is none and what to try, in words.
        hypotheses: what was checked, with numbers.
        rate: flow: |r_t| ≤ C e^{-rate t}; descent: |r_k| ≤ C (1 - rate)^k, from ``since`` on, C the
            norm of the residual there.
        since: the time (or number of steps) from which the rate holds; 0 for all times.
        from_start: whether all this is about exact training from the given parameters. If false, it
            is about exact descent that starts at iterate number ``since`` as float64 computed it,
            from which exact descent from the given parameters may be far.
        movement: sup_t |θ_t - θ_0|; where ``ntk_since`` is above 0, over later times only.
        ntk_change: sup_t |Θ_t - Θ_0|, over the same times.
        ntk_since: the time or step from which ``movement`` and ``ntk_change`` hold.
        output_deviation: sup_t |f_t - f_lin,t| on the train points, f_lin the linear flow of Θ_0
            from the same initial outputs.
        limit_deviation: sup_t |f_t - f_∞,t| on the train points, f_∞ the infinite-width flow from
            the same initial outputs; as reliable as the error estimate of Θ_∞.
        step: η of gradient descent.
        largest_step: the largest η the same theorem certifies.
        attempts: the certificates of the methods tried before, none of which holds.
        least_loss: proven lower bound of the loss over all parameters; above 0 where the labels of
            tied points contradict each other.
        assumption: what besides the hypotheses the statement rests on.
    """

    holds: bool
    method: str
    dynamics: Dynamics
    reason: str
    hypotheses: tuple[Hypothesis, ...] = ()
    rate: float | None = None
    since: float = 0.0
    from_start: bool = True
    movement: float | None = None
    ntk_change: float | None = None
    ntk_since: float = 0.0
    output_deviation: float | None = None
    limit_deviation: float | None = None
    step: float | None = None
    largest_step: float | None = None
    attempts: tuple["Certificate", ...] = ()
    least_loss: float = 0.0
    assumption: str = "float64 with a-priori rounding margins (worst case, not directed rounding)"

    def after(self, attempts: Sequence["Certificate"]) -> "Certificate":
        """The same certificate, with what was tried before it."""
        return replace(self, attempts=tuple(attempts))

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        head = "Certified" if self.holds else "Not certified"
        by = "" if self.method == "none" else f" by {TITLES[self.method]}"
        lines = [f"{head}{by}: {self.reason}"]
        lines += [f"  {hypothesis}" for hypothesis in self.hypotheses]
        if self.holds:
            lines += ["Then:", *(f"  {line}" for line in self._conclusions())]
        elif self.least_loss > 0:
            lines.append(f"No parameters bring the loss below {down(self.least_loss)}.")
        else:
            lines.append("This does not say that training fails: only that no proof was found.")
        lines += [f"Before it, by {TITLES[a.method]}: {a.reason}" for a in self.attempts]
        return "\n".join([*lines, f"Arithmetic: {self.assumption}."])

    def _conclusions(self) -> list[str]:
        flow = self.dynamics == "flow"
        moment = "t" if flow else "k"
        made = ["the loss converges to zero"]
        if not self.from_start:
            made = [
                "the loss converges to zero, for exact descent from the float64 iterate "
                f"{self.since:.0f}; nothing is proven about exact descent from θ_0 itself"
            ]
        if self.rate is not None:
            rate, since = down(self.rate), up(self.since)
            decay = f"e^(-{rate} (t - T))" if flow else f"(1 - {rate})^(k - T)"
            made.append(f"|r_{moment}| ≤ |r_T| {decay} for {moment} ≥ T = {since}")
        bounds = (
            ("|θ - θ_0|", self.movement, self.ntk_since),
            ("|Θ - Θ_0|", self.ntk_change, self.ntk_since),
            ("|f - f_lin|", self.output_deviation, 0.0),
            ("|f - f_∞|", self.limit_deviation, 0.0),
        )
        for name, bound, since in bounds:
            if bound is not None:
                when = "" if since == 0 else f" for {moment} ≥ {up(since)}"
                made.append(f"sup {name} ≤ {up(bound)}{when}")
        if self.step is not None:
            made.append(f"with step {float(self.step)!r}")
        if self.largest_step is not None:
            made.append(f"the same theorem certifies every step up to {down(self.largest_step)}")
        return made


def refusal(
    method: str, dynamics: Dynamics, reason: str, *hypotheses: Hypothesis, step: float | None = None
) -> Certificate:
    """A certificate that does not hold."""
    return Certificate(False, method, dynamics, reason, hypotheses, step=step)
