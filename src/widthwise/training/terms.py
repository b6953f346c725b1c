r"""The terms of the solution map: products of initial statistics, and their factors of time.

**Gradient flow.** Nine terms through order 2 (:data:`TERMS`), each a product of entries of

    D = Θ(0) − Θ,    T = O₃(0),    U = O₄(0)

and of residuals r(0), times divided differences of e^{−tλ} at nodes that are sums of eigenvalues.

**Gradient descent.** A step of size η moves the parameters by −η Σ_γ J_γ r_γ, J_γ = ∇f_γ, and any
function g of them by its whole Taylor series along that step. What that adds to the hierarchy of
the flow are derivatives along steps that are held fixed,

    S(x; γ, δ)    = ∇²f_x[J_γ, J_δ],           of the order of T in the width,
    W(x, γ; δ, κ) = ∇²Θ_xγ[J_δ, J_κ],
    R(x; γ, δ, κ) = ∇S(x; γ, δ)[J_κ],          of the order of U in the width, R and
    Q(x; γ, δ, κ) = ∇³f_x[J_γ, J_δ, J_κ],      W as much as Q,

so that, exactly through 1/n,

    f_{k+1} = f_k − η Θ_k r + ½ η² S_k rr − ⅙ η³ Q rrr,      Θ_{k+1} = Θ_k − η T_k r + ½ η² W rr,
    T_{k+1} = T_k − η U r,                                   S_{k+1} = S_k − η R r.

Along eigenvectors r decays by powers of μ = 1 − ηλ, products of residuals by powers of products of
them. So the sums over steps are divided differences of λ ↦ (1 − ηλ)^k, the sum λ_j + λ_l becoming

    λ_j ∘ λ_l = λ_j + λ_l − η λ_j λ_l,       1 − η (λ_j ∘ λ_l) = μ_j μ_l,

times some powers of μ and η (:data:`DESCENT_TERMS`), by two rules for sequences in k:
μ^k [A] = μ^d [μA] and Σ_{u<k} [A]_u = [1, A]_k, [A]_k the divided difference of z ↦ z^k at d + 1
numbers A. As η → 0 with ηk = t the terms with S, W, R or Q vanish and the others become the flow's.
"""

from typing import NamedTuple


class Path(NamedTuple):
    """One factor of time: coefficient · η^power · ∏ (1 − ηλ) · a divided difference.

    Args:
        nodes: ρ of the divided difference; "jl" stands for λ_j + λ_l, in descent for λ_j ∘ λ_l.
        decays: the modes whose 1 − ηλ multiply it, with repetition.
        coefficient: a number.
        power: of η.
    """

    nodes: tuple[str, ...]
    decays: str = ""
    coefficient: float = 1.0
    power: int = 0


class Term(NamedTuple):
    """One term: factors with their indices, factors of time, order in n^{−1/2}.

    Args:
        name: the tensors in the term, such as "DT".
        factors: (tensor, indices); the index x is the forced row, the others run over train modes.
            Tensors are D, T, U, for descent also S, W, R, Q, and the residual r.
        paths: the factors of time that are added.
        order: the power of n^{−1/2}, of a law whose mean O₃ does not vanish.
        descent: whether the factors of time are those of gradient descent.
    """

    name: str
    factors: tuple[tuple[str, str], ...]
    paths: tuple[Path, ...]
    order: int
    descent: bool = False

    @property
    def indices(self) -> str:
        """Train-mode indices in the order of the axes of the weights."""
        return "".join(sorted({i for _, indices in self.factors for i in indices} - {"x"}))

    @property
    def kernel_only(self) -> bool:
        """Whether D is the only tensor, so that the term holds for gradient descent too."""
        return set(self.name) == {"D"}

    @property
    def tensors(self) -> frozenset[str]:
        """The tensors in the term."""
        return frozenset(self.name) - {"'"}


def _factors(factors: str) -> tuple[tuple[str, str], ...]:
    return tuple((word[0], word[1:]) for word in factors.split())


def _flow(name: str, order: int, factors: str, *nodes: str) -> Term:
    return Term(name, _factors(factors), tuple(Path(tuple(path.split())) for path in nodes), order)


def _descent(name: str, order: int, factors: str, *paths: str) -> Term:
    """A term from words such as "-1/2 h jk : j jl", −½ η μ_j μ_k at the nodes λ_j and λ_j ∘ λ_l."""
    made = []
    for path in paths:
        before, _, nodes = path.partition(":")
        number, _, below = before.split()[0].partition("/")
        others = before.split()[1:]
        power = sum(word.count("h") for word in others)
        decays = "".join(word for word in others if "h" not in word)
        coefficient = float(number) / float(below or 1)
        made.append(Path(tuple(nodes.split()), decays, coefficient, power))
    return Term(name, _factors(factors), tuple(made), order, descent=True)


TERMS: tuple[Term, ...] = (
    _flow("D", 1, "Dxj rj", "j"),
    _flow("T", 1, "Txjl rj rl", "j jl"),
    _flow("DD", 2, "Dxj Djk rk", "j k"),
    _flow("U", 2, "Uxjkl rj rk rl", "j jk jkl"),
    _flow("DT", 2, "Dxj Tjkl rk rl", "j k kl"),
    _flow("TD", 2, "Txjl Djk rk rl", "j jl kl", "j k kl"),
    _flow("TD'", 2, "Txjl Dlk rk rj", "j jl jk"),
    _flow("TT", 2, "Txjl Tjkq rk rq rl", "j jl kl klq", "j k kl klq", "j k kq klq"),
    _flow("TT'", 2, "Txjl Tlkq rj rk rq", "j jl jk jkq"),
)
"""The nine terms of gradient flow through order 2."""

DESCENT_TERMS: tuple[Term, ...] = (
    _descent("D", 1, "Dxj rj", "1 : j"),
    _descent("T", 1, "Txjl rj rl", "1 j : j jl"),
    _descent("S", 1, "Sxjl rj rl", "-1/2 h : jl"),
    _descent("DD", 2, "Dxj Djk rk", "1 : j k"),
    _descent("U", 2, "Uxjkl rj rk rl", "1 jjk : j jk jkl"),
    _descent("W", 2, "Wxjkl rj rk rl", "-1/2 h j : j jkl"),
    _descent("R", 2, "Rxjkl rj rk rl", "-1/2 h jk : jk jkl"),
    _descent("Q", 2, "Qxjkl rj rk rl", "1/6 hh : jkl"),
    _descent("DT", 2, "Dxj Tjkl rk rl", "1 k : j k kl"),
    _descent("DS", 2, "Dxj Sjkl rk rl", "-1/2 h : j kl"),
    _descent("TD", 2, "Txjl Djk rk rl", "1 j : j jl kl", "1 k : j k kl", "-1 h : jl kl"),
    _descent("TD'", 2, "Txjl Dlk rk rj", "1 jj : j jl jk"),
    _descent("SD", 2, "Sxjl Djk rk rl", "-1 h l : jl kl"),
    _descent(
        "TT",
        2,
        "Txjl Tjkq rk rq rl",
        "1 jk : j jl kl klq",
        "1 kk : j k kl klq",
        "1 kkq : j k kq klq",
        "-1 h k : jl kl klq",
        "-1 h kl : jl kl klq",
    ),
    _descent("TT'", 2, "Txjl Tlkq rj rk rq", "1 jjjk : j jl jk jkq"),
    _descent(
        "TS",
        2,
        "Txjl Sjkq rk rq rl",
        "-1/2 h j : j jl klq",
        "-1/2 h kq : j kq klq",
        "1/2 hh : jl klq",
    ),
    _descent("TS'", 2, "Txjl Slkq rj rk rq", "-1/2 h jj : j jl jkq"),
    _descent("ST", 2, "Sxjl Tjkq rk rq rl", "-1 h kll : jl kl klq"),
    _descent("SS", 2, "Sxjl Sjkq rk rq rl", "1/2 hh l : jl klq"),
)
"""The nineteen terms of gradient descent through order 2."""

_ALONE = ("D", "DD", "T", "S", "U", "W", "R", "Q")
_HALF = ("T", "S")


def terms(*, symmetric: bool, frozen: bool = False, descent: bool = False) -> tuple[Term, ...]:
    """The terms that count, with their orders.

    Args:
        symmetric: whether the mean of O₃ vanishes (a symmetric readout law, or an odd activation of
            symmetric preactivations): then T and S are of order 2 and their products of order 3.
        frozen: whether the map is about the network's own Θ_n(0), so that D = 0.
        descent: whether training is gradient descent.
    """
    every = DESCENT_TERMS if descent else TERMS
    kept = (term for term in every if not (frozen and "D" in term.name))
    if not symmetric:
        return tuple(kept)
    once = (term for term in kept if term.name in _ALONE)
    return tuple(term._replace(order=2) if term.name in _HALF else term for term in once)
