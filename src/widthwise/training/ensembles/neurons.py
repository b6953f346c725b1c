r"""One hidden layer: cumulants of the controls from those of one neuron, at every width exactly.

A network of N = ρ n independent neurons has F = N^{−1/2} Σ η_i (+ a Gaussian output bias) and
Δ = N^{−1} Σ (κ_i − E κ), so that with s = 1/2 for each η and s = 1 for each κ

    κ(F, …, Δ, …) = N^{1−Σs} κ(η, …, κ, …),

a joint cumulant of one neuron, averaged over many sampled neurons: its relative error is theirs and
does not grow with n. Those of two and three factors, which matter most, are integrated by a rule
where φ is smooth (:func:`~widthwise.training.ensembles.series.known_neuron`).
h = Σ_j Δ_j (F_j − y_j), with Δ_j forced to the output in question, has the cumulants

    κ(g, …, Δ_j F_j) = κ(g, …, Δ_j, F_j) + Σ κ(some g, Δ_j) κ(the other g, F_j)

(Leonov and Shiryaev), where of the sum only products of cumulants of two and more variables are
left, since E F = E Δ = 0. Likewise of a polynomial in F,

    κ(g, g, F_j F_l) = κ(g, g, F_j, F_l) + 2 κ(g, F_j) κ(g, F_l),
    κ(g, g, g, F_j F_l)
        = κ(g, g, g, F_j, F_l) + 3 κ(g, g, F_j) κ(g, F_l) + 3 κ(g, F_j) κ(g, g, F_l).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from widthwise.algebra.gaussian import Estimate
from widthwise.model.architecture import MLP
from widthwise.model.laws import Gaussian
from widthwise.training.ensembles.controls import Controls
from widthwise.training.ensembles.expectations import Expectations, Polynomial, averaged
from widthwise.training.ensembles.samples import joint_cumulant
from widthwise.training.ensembles.series import Known, lowest

_BATCHES = 32
_NEURONS = 2**14  # of a batch
_NUMBERS = 1e7


def independent_neurons(net: MLP) -> bool:
    """Whether F and Δ are sums over independent neurons, and Δ has mean 0, at every width."""
    if net.depth > 1 or net.outputs > 1 or net.parametrization != "ntk":
        return False
    gaussian = net.bias_scaling == "constant" and net.bias_law[1] == Gaussian()
    return gaussian or not net.has_bias(1)


def neuron_expectations(
    net: MLP,
    width: int,
    x: np.ndarray,
    nngp: np.ndarray,
    controls: Controls,
    key: jax.Array,
    *,
    even: bool,
    known: Known | None = None,
) -> Expectations:
    """Cumulants of the controls at width n.

    Args:
        net: a network of :func:`independent_neurons`.
        width: n.
        x: all points, train points first (points, inputs).
        nngp: K, which is E F F at every width.
        controls: the controls.
        key: JAX random key of the sampled neurons.
        even: whether cumulants of Θ_n with an odd number of F vanish.
        known: cumulants of few factors from elsewhere (:mod:`.series`).
    """
    N, limit = net.widths(width)[0], net.at_width(np.inf, x.shape[1])
    times, rows = controls.propagator.shape[:2]
    entries = rows * max(len(controls.labels), rows)
    size = int(np.clip(_NUMBERS // entries, 1024, _NEURONS))
    sample = partial(sampled_neurons, limit, x, len(controls.solution.y), size)
    moments = [controls.at(t) for t in range(times)]
    batches = [_one(moments, nngp, N, sample(k), even) for k in jax.random.split(key, _BATCHES)]
    found = {
        name: averaged(np.stack([b[name] for b in batches]))
        for name in batches[0]
        if not name.startswith("with")
    }
    source = f"cumulants of one neuron, over {_BATCHES * size} sampled ones"
    third, first, mixed = found["third"], found["first order"], found["mixed"]
    if known is not None:
        third, first, mixed = lowest(controls, known(width))
        source += "; those of up to three factors by a rule"
    return Expectations(
        Estimate(nngp, np.zeros_like(nngp)),
        third,
        first,
        mixed,
        {k: found[f"linear {k}"] for k in (3, 4)},
        {k: found[f"mixed {k}"] for k in (3, 4)},
        {k: found[f"together {k}"] for k in (3, 4)},
        source,
        {
            k: Polynomial(
                *(
                    np.stack([b[f"{part} {k}"] for b in batches])
                    for part in ("together", "with F", "with FF")
                )
            )
            for k in (3, 4)
        },
    )


def sampled_neurons(
    net: MLP, x: np.ndarray, train: int, size: int, key: jax.Array
) -> tuple[np.ndarray, np.ndarray]:
    """η (neurons, points) and κ (neurons, points, train), each less its mean."""
    weight_key, bias_key, readout_key = jax.random.split(key, 3)
    d = x.shape[1]
    z = net.weight_std[0] / np.sqrt(d) * net.weight_law[0].sample(weight_key, (size, d)) @ x.T
    k = net.weight_std[0] ** 2 * (x @ x[:train].T) / d
    if net.has_bias(0):
        z = z + net.bias_std[0] * net.bias_law[0].sample(bias_key, (size, 1))
        k = k + net.bias_std[0] ** 2
    a = np.asarray(net.weight_law[1].sample(readout_key, (size, 1)))
    phi = np.asarray(net.activation(z))
    slope = a * np.asarray(net.activation.derivative()(jnp.asarray(z)))
    std = float(net.weight_std[1])
    kernel = phi[:, :, None] * phi[:, None, :train]
    kernel = std**2 * (kernel + slope[:, :, None] * slope[:, None, :train] * np.asarray(k))
    eta = std * a * phi
    return eta - eta.mean(0), kernel - kernel.mean(0)


def _one(
    moments: list[Controls],
    K: np.ndarray,
    N: int,
    neurons: tuple[np.ndarray, np.ndarray],
    even: bool,
) -> dict[str, np.ndarray]:
    """The cumulants at N neurons, from those of a batch of neurons, time by time."""
    eta, kernel = neurons
    modes, y = moments[0].modes(eta), moments[0].labels
    found = []
    for controls in moments:
        A = controls.propagator[0]
        g, forced, gF = eta @ A.T, controls.forced(kernel)[:, 0], controls.modes(A @ K)
        at_time = _at_time(g, forced, modes, gF, y, float(N), even)
        found.append(at_time | _with_polynomials(g, modes, gF, float(N), even))
    stacked = {name: np.stack([part[name] for part in found]) for name in found[0]}
    for k in (3, 4):
        stacked[f"together {k}"] = stacked[f"linear {k}"] + k * stacked[f"mixed {k}"]
    third = np.zeros((eta.shape[1], modes.shape[1], modes.shape[1]))
    if not even:
        third = np.einsum("sa,sj,sl->ajl", eta, modes, modes, optimize=True)
        third = third / (len(eta) * np.sqrt(N))
    return {"third": third} | stacked


def _at_time(g, forced, F, gF, y, N: float, even: bool) -> dict[str, np.ndarray]:
    """At one time: g (s, rows), forced κ (s, rows, modes), F (s, modes), κ(g, F) (rows, modes)."""
    count = len(g)
    G, Fj = g[:, :, None], F[:, None, :]

    def of(*variables: np.ndarray) -> np.ndarray:
        return joint_cumulant(variables)

    with_F = np.einsum("sa,sxj,sj->ax", g, forced, F, optimize=True) / count / N
    ggD = of(G, G, forced) / N
    fourth = of(G, G, G, forced, Fj) / N**2 + 3 * ggD * gF
    if even:  # cumulants with an odd number of F vanish: nothing to sample
        none = np.zeros(g.shape[1])
        first, mixed, linear, third = none, with_F, none, -y * ggD
    else:
        gD, gF_third = of(G, forced) / np.sqrt(N), of(G, G, Fj) / np.sqrt(N)
        first = np.einsum("sxj,sj->x", forced, F) / count / np.sqrt(N)
        with_y = np.einsum("sa,sxj,j->ax", g, forced, y, optimize=True) / count / np.sqrt(N)
        mixed, linear = with_F - with_y, of(g, g, g) / np.sqrt(N)
        third = of(G, G, forced, Fj) / N**1.5 + 2 * gD * gF - y * ggD
        fourth = fourth + 3 * gD * gF_third - y * of(G, G, G, forced) / N**1.5
    return {
        "first order": first,
        "mixed": mixed,
        "linear 3": linear,
        "linear 4": of(g, g, g, g) / N,
        "mixed 3": third.sum(-1),
        "mixed 4": fourth.sum(-1),
    }


def _with_polynomials(g, F, gF, N: float, even: bool) -> dict[str, np.ndarray]:
    """κ(g, …, g, F_j) (rows, modes) and κ(g, …, g, F_j F_l) (rows, modes, modes), at one time."""
    count, g2 = len(g), g**2

    def moment(left: np.ndarray, *right: np.ndarray) -> np.ndarray:
        axes = "jl"[: len(right)]
        inputs = ",".join(["sa", *("s" + axis for axis in axes)])
        return np.einsum(f"{inputs}->a{axes}", left, *right, optimize=True) / count

    FF, square, own = F.T @ F / count, moment(g2)[:, None], moment(g, F)
    four_F = (moment(g2 * g, F) - 3 * square * own) / N
    two_pairs = own[:, :, None] * own[:, None, :]
    four_FF = moment(g2, F, F) - square[..., None] * FF - 2 * two_pairs
    three_FF = four_FF / N + 2 * gF[:, :, None] * gF[:, None, :]
    if even:
        return {
            "with F 3": 0 * four_F,
            "with FF 3": three_FF,
            "with F 4": four_F,
            "with FF 4": 0 * three_FF,
        }
    third = moment(g2, F)
    crossed = third[:, :, None] * own[:, None, :]
    five = moment(g2 * g, F, F) - moment(g2 * g)[:, None, None] * FF
    five = five - 3 * square[..., None] * moment(g, F, F)
    five = (five - 3 * (crossed + np.swapaxes(crossed, 1, 2))) / N**1.5
    pairs = third[:, :, None] / np.sqrt(N) * gF[:, None, :]
    return {
        "with F 3": third / np.sqrt(N),
        "with FF 3": three_FF,
        "with F 4": four_F,
        "with FF 4": five + 3 * (pairs + np.swapaxes(pairs, 1, 2)),
    }
