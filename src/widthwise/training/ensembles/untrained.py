r"""Any network: cumulants of the controls from many more networks that are not trained.

Drawing a network and its Θ_n costs a small part of training it, and several readouts of the same
hidden layers cost little more than one. To keep the noise small,

* E F F and the cumulants of g come from the last features: given the hidden layers F is a sum of
  independent terms, with conditional cumulants Y_r = σ_w^r κ_r(W) N^{1−r/2} avg (A_t φ)^r, and by
  the law of total cumulance κ₃(g) = E Y₃, κ₄(g) = E Y₄ + 3 Var Y₂;
* products of F are taken less their values at infinite width,

      κ(g, h) = E (g F_j − A K_j) Δ_j + (A K)_j E Δ_j − y_j E g Δ_j,

  which has noise of order n^{−1/2}, the first part that of the readouts alone;
* for few points the cumulants of few factors are taken from their series (:mod:`.series`).
"""

import jax
import numpy as np

from widthwise.model.architecture import MLP
from widthwise.training.ensembles.controls import Controls
from widthwise.training.ensembles.draws import Drawn, drawn
from widthwise.training.ensembles.expectations import Expectations, Running, averaged
from widthwise.training.ensembles.series import Known, lowest

READOUTS = 8


def untrained_expectations(
    net: MLP,
    width: int,
    x: np.ndarray,
    nngp: np.ndarray,
    controls: Controls,
    key: jax.Array,
    members: int,
    *,
    even: bool,
    known: Known | None = None,
    memory: float = 3e8,
) -> Expectations:
    """Cumulants of the controls at width n.

    Args:
        net: the architecture.
        width: n.
        x: all points, train points first (points, inputs).
        nngp: K.
        controls: the controls.
        key: JAX random key of the untrained networks.
        members: how many, each with several readouts.
        even: whether cumulants of Θ_n with an odd number of F vanish.
        known: cumulants of few factors from elsewhere (:mod:`.series`).
        memory: bytes a block of them may take.
    """
    train, labels = len(controls.solution.y) // net.outputs, len(controls.labels)
    rows, times = len(nngp), len(controls.propagator)
    each = READOUTS * (6 * controls.weights.size + 4 * times * rows * (rows + labels))
    each += 2 * rows**3 + times * rows * net.widths(width)[-1] * net.outputs
    averages, every = {name: Running() for name in ("second", "third", "mixed")}, []
    for block in drawn(
        net, width, x, train, key, members, readouts=READOUTS, memory=memory, each=each
    ):
        part = _statistics(net, width, x.shape[1], nngp, controls, block, even)
        for name, average in averages.items():
            average.add(part.pop(name))
        every.append(part)
    single = {name: np.concatenate([part[name] for part in every]) for name in every[0]}
    second, third, mixed = (averages[name].estimate for name in ("second", "third", "mixed"))
    first = averaged(single["first order"])
    source = f"{members} untrained networks, {READOUTS} readouts each"
    if known is not None:
        few = known(width)
        second, (third, first, mixed) = few.second, lowest(controls, few)
        source += "; cumulants of up to three factors from their series"
    linear, crossed = _linear_cumulants(single), _mixed_cumulants(single)
    return Expectations(
        second,
        third,
        first,
        mixed,
        {k: averaged(linear[k]) for k in (3, 4)},
        {k: averaged(crossed[k]) for k in (3, 4)},
        {k: averaged(linear[k] + k * crossed[k]) for k in (3, 4)},
        source,
    )


def _statistics(
    net: MLP,
    width: int,
    inputs: int,
    K: np.ndarray,
    controls: Controls,
    block: Drawn,
    even: bool,
) -> dict[str, np.ndarray]:
    """Per network, averaged over its readouts, what the expectations are means of."""
    sized, outputs = net.at_width(width, inputs), net.outputs
    scale, law, N = float(sized.weight_std[-1]), net.weight_law[-1], block.features.shape[-1]
    bias = float(sized.bias_std[-1]) if net.has_bias(net.depth) else 0.0
    biases = net.bias_law[-1]
    A, y = controls.propagator, controls.labels
    networks, readouts = block.outputs.shape[:2]
    rows, modes = block.outputs.shape[-1], len(y)

    def per_network(values: np.ndarray) -> np.ndarray:
        return values.reshape(networks, readouts, *values.shape[1:]).mean(1)

    F = block.outputs.reshape(-1, rows)
    change = block.ntk.reshape(-1, *block.ntk.shape[2:]) - controls.solution.ntk
    g, Fj, forced = controls.carried(F), controls.modes(F), controls.forced(change)
    same = np.eye(outputs)
    phi = block.features
    gram = scale**2 * np.einsum("nai,nbi->nab", phi, phi) / N + bias**2
    second = np.einsum("nab,ce->nacbe", gram, same).reshape(networks, rows, rows)

    # given the hidden layers, g is a sum over their neurons and the output bias
    wide = np.einsum("nai,ce->nacie", phi, same).reshape(networks, rows, N, outputs)
    carried = np.einsum("txa,naie->ntxie", A, wide, optimize=True)
    shared = np.einsum("txa,ae->txe", A, np.kron(np.ones((rows // outputs, 1)), same))

    def conditional(r: int) -> np.ndarray:
        own = (scale**r * law.cumulant(r) * N ** (-r / 2)) * (carried**r).sum((-2, -1))
        extra = bias**r * biases.cumulant(r) * (shared**r).sum(-1) if bias else 0.0
        return own + extra

    third = np.einsum("nai,nbi,nci->nabc", phi, phi, phi, optimize=True) if not even else None
    features = np.zeros((networks, rows, modes, modes))
    if third is not None:
        cube = scale**3 * law.cumulant(3) * N**-1.5 * third
        cube = cube + (bias**3 * biases.cumulant(3) if bias else 0.0)
        every = np.zeros((outputs,) * 3)
        every[(np.arange(outputs),) * 3] = 1.0
        cube = np.einsum("nabc,ijk->naibjck", cube, every).reshape(networks, rows, rows, rows)
        features = controls.solution.modes(cube, "tt", first=2)

    v0 = np.einsum("txa,ab,txb->tx", A, K, A)
    AK = controls.modes(np.einsum("txa,ab->txb", A, K))
    gF = g[..., :, None] * Fj[:, None, None, :] - AK
    driven = np.einsum("stxj,sj->stx", forced, Fj)
    pulled = forced @ y
    h = driven - pulled
    with_odd, with_even = (driven, -pulled) if even else (h, h)  # with so many factors g
    mixed = np.einsum("staj,stxj->stax", gF, forced, optimize=True)
    mixed = mixed + np.einsum("taj,stxj->stax", AK, forced, optimize=True)
    if not even:
        mixed = mixed - g[..., :, None] * pulled[..., None, :]
    square, gg = g**2 - v0, conditional(2) - v0
    return {
        "second": second,
        "third": features,
        "mixed": per_network(mixed),
        "first order": per_network(with_even),
        "gg": gg,
        "gh": per_network(g * with_odd),
        "ggh": per_network(square * with_even),
        "gggh": per_network(g * (square - 2 * v0) * with_odd),
        "Y3": np.zeros_like(gg) if even else conditional(3),
        "Y4": conditional(4),
    }


def _linear_cumulants(every: dict[str, np.ndarray]) -> dict[int, np.ndarray]:
    """What κ₃(g) = E Y₃ and κ₄(g) = E Y₄ + 3 Var Y₂ are means of."""
    centred = every["gg"] - every["gg"].mean(0)
    return {3: every["Y3"], 4: every["Y4"] + 3 * centred**2}


def _mixed_cumulants(every: dict[str, np.ndarray]) -> dict[int, np.ndarray]:
    """The same for κ(g, g, h) and κ(g, g, g, h), from moments about those of infinite width."""
    gg, h, gh, third = (every[name].mean(0) for name in ("gg", "first order", "gh", "Y3"))
    three = every["ggh"] - gg * every["first order"] - h * every["gg"] + gg * h
    four = every["gggh"] - 3 * (gg * every["gh"] + gh * (every["gg"] - gg))
    four = four - third * every["first order"] - h * (every["Y3"] - third)
    return {3: three, 4: four}
