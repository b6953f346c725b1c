"""How tight certificates are: the smallest certified width by method, and what they cost.

    python benchmarks/certificates.py                 descent, static methods, times (minutes)
    python benchmarks/certificates.py --linear        the linear reference too (minutes more)
    python benchmarks/certificates.py --flow          the linear reference and the flow tube (hours)
    python benchmarks/certificates.py --only digits   data sets whose name holds this word

erf, one hidden layer, no biases, labels ±1 unless said; parameters drawn with seed 0. A width is
the first of 4, 6, 8, 12, 16, 24, … at which the network is certified; for descent also the first at
which the theorem is about exact descent from the parameters drawn (`from_start`), not from a
computed iterate. "Practical" is the first at which gradient descent with step 1/λ_max(Θ_0) reaches
1e-4 of its first residual. The textbook ball and Theorem 1 need widths beyond memory: theirs are
the widths at which their condition holds for the spectrum and residual of a network of width 8192
and the median largest readout weight. Theorem 5 promises success with probability 0.95. Times are
CPU seconds of one process.
"""

import argparse
import functools
import time
from typing import NamedTuple

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from engine_sections.machine import machine
from scipy.stats import norm

import widthwise as ww
from widthwise.certify import certified_width, certify
from widthwise.certify.constants.shallow import extended_inputs, gram_powers
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior.path import shortest_path
from widthwise.certify.posterior.spectrum import Spectrum
from widthwise.model.architecture import Layer

ERF = ww.MLP(1, "erf")
LIMITS = {"linear_reference": 2**14, "trajectory": 2**9, "descent": 2**9, "practical": 2**9}
REFERENCE = 8192
ITERATES = 40_000
DESCENTS = "descent, any iterate | descent, from the start | practical descent"


class Data(NamedTuple):
    name: str
    x: np.ndarray
    y: np.ndarray


def sphere(m, d):
    rng = np.random.default_rng(1000)
    x = rng.standard_normal((m, d))
    x *= np.sqrt(d) / np.linalg.norm(x, axis=1)[:, None]
    return Data(f"sphere m={m}, d={d}", x, rng.choice([-1.0, 1.0], m))


def digits(m):
    from sklearn.datasets import load_digits

    found = load_digits(n_class=2)
    rows = np.random.default_rng(0).permutation(len(found.target))[:m]
    x = found.data[rows] * 8 / np.linalg.norm(found.data[rows], axis=1)[:, None]
    return Data(f"digits 0 and 1, m={m}", x, 2.0 * found.target[rows] - 1)


def diabetes(m):
    from sklearn.datasets import load_diabetes

    found = load_diabetes()
    x = (found.data - found.data.mean(0)) / found.data.std(0)
    y = (found.target - found.target.mean()) / found.target.std()
    rows = np.random.default_rng(0).permutation(len(y))[:m]
    return Data(f"diabetes m={m}, scaled targets", x[rows], y[rows])


def data_sets():
    spheres = [sphere(m, d) for m, d in ((3, 3), (5, 5), (10, 5), (20, 10), (40, 20))]
    return [*spheres, digits(10), digits(20), digits(40), diabetes(10)]


def drawn(net, n, d, seed=0):
    """One hidden layer as the published reference numbers were drawn; deeper ones by the key."""
    if net.depth > 1:
        return net.init(jax.random.key(seed), n, d)
    rng = np.random.default_rng(seed)
    weight, _, readout = rng.standard_normal((n, d)), rng.standard_normal(n), rng.standard_normal(n)
    return Layer(weight, None), Layer(readout[None], None)


def smallest(holds, limit):
    """The first width that holds, or None up to the limit."""
    n = 4
    while n <= limit:
        for width in (n, n * 3 // 2):
            if width <= limit and holds(width):
                return width
        n *= 2
    return None


def descends(net, data, n):
    """Whether plain gradient descent reaches 1e-4 of its first residual."""
    at = evaluate(net, drawn(net, n, data.x.shape[1]), data.x, data.y[:, None])
    step = 1 / np.linalg.eigvalsh(at.kernel)[-1]
    target = 1e-4 * np.linalg.norm(at.residual)
    for _ in range(ITERATES):
        if np.linalg.norm(at.residual) < target:
            return True
        at = at.moved(at.pull(step * at.residual))
    return False


def certified(net, data, limit, method="auto", dynamics="flow"):
    def holds(n):
        parameters = drawn(net, n, data.x.shape[1])
        return certify(net, parameters, data.x, data.y, method, dynamics).holds

    return smallest(holds, limit)


def certified_descent(net, data):
    """The widths from which descent is certified: from an iterate or the start, from the start."""
    made = functools.cache(
        lambda n: certify(net, drawn(net, n, data.x.shape[1]), data.x, data.y, dynamics="descent")
    )
    either = smallest(lambda n: made(n).holds, LIMITS["descent"])
    return either, smallest(lambda n: made(n).holds and made(n).from_start, LIMITS["descent"])


def trained(net, data):
    """The columns of descent, and whether either certificate begins at the practical width."""
    widths = certified_descent(net, data)
    practical = smallest(lambda n: descends(net, data, n), LIMITS["practical"])
    cells = [said(width, LIMITS["descent"]) for width in (*widths, practical)]
    return cells, [width is not None and width == practical for width in widths]


def extrapolated(data):
    """The widths of the textbook ball and of Theorem 1, from the network of width 8192."""
    at = evaluate(ERF, drawn(ERF, REFERENCE, data.x.shape[1]), data.x, data.y[:, None])
    spectrum, p = Spectrum.of(at), at.problem
    alpha, size, powers, bounds = spectrum.alpha, spectrum.size, gram_powers(p), p.bounds
    inputs = extended_inputs(p)
    total, longest = np.linalg.norm(inputs), np.sqrt((inputs**2).sum(1).max())

    def readout(n):
        return norm.isf(np.log(2) / (2 * n))

    def textbook(n):
        curved = (readout(n) + 2 * size / alpha) * bounds.curvature * longest
        return 4 * size * (2 * bounds.slope + curved) * total / n**0.5 <= alpha**2

    def path(n):
        def lipschitz(radius):
            a = (readout(n) + radius) * bounds.curvature * powers.second
            b = bounds.slope * powers.first
            return (a + np.sqrt(a * a + 4 * b * b)) / 2 / n**0.5

        return np.isfinite(shortest_path(alpha, size, lipschitz).length)

    return [_halving(holds) for holds in (textbook, path)]


def _halving(holds):
    high = 4
    while not holds(high):
        high *= 2
    low = high // 2
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def said(width, limit=None):
    if width is None:
        return f"> {limit}"
    return f"{width}" if width < 10_000 else f"{width:.1e}"


def row(data, flows):
    textbook, path = extrapolated(data)
    cells = [said(textbook), said(path)]
    for method in ("linear_reference", "trajectory"):
        if method not in flows:
            cells.append("-")
            continue
        cells.append(said(certified(ERF, data, LIMITS[method], method), LIMITS[method]))
    made, same = trained(ERF, data)
    cells += made
    proven = certified_width(ERF, data.x, data.y, probability=0.95, kind="proven")
    cells.append(said(proven.width))
    print(f"| {data.name} | {' | '.join(cells)} |", flush=True)
    return same


def depths(flows):
    linear = "linear_reference" in flows
    print(f"\n| depth | data | {DESCENTS} |" + " linear reference |" * linear)
    print("|---|---|---|---|---|" + "---|" * linear)
    for depth in (2, 3):
        net, data = ww.MLP(depth, "erf"), sphere(5, 5)
        cells, _ = trained(net, data)
        if linear:
            cells.append(said(certified(net, data, 2**11, "linear_reference"), 2**11))
        print(f"| {depth} | {data.name} | {' | '.join(cells)} |", flush=True)


def halved(data):
    """Labels ±1/2: with ±1 the linear reference is refused at these widths."""
    return data._replace(y=data.y / 2)


def times():
    print("\n| certificate | CPU seconds | holds |\n|---|---|---|")
    for name, data, n, method, dynamics, arithmetic in (
        (
            "linear reference, m=10, n=1000, labels ±1/2",
            halved(sphere(10, 10)),
            1000,
            "linear_reference",
            "flow",
            "",
        ),
        ("descent trajectory, m=50, n=512", sphere(50, 50), 512, "auto", "descent", ""),
        ("the same in intervals", sphere(50, 50), 512, "auto", "descent", "interval"),
    ):
        parameters = drawn(ERF, n, data.x.shape[1])
        arguments = (ERF, parameters, data.x, data.y, method, dynamics, None)
        used = []
        for _ in range(2):  # the first run compiles
            start = time.process_time()
            made = certify(*arguments, arithmetic or "margins")
            used.append(time.process_time() - start)
        print(f"| {name} | {used[-1]:.2f} | {made.holds} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--linear", action="store_true", help="the linear reference too")
    parser.add_argument("--flow", action="store_true", help="both certificates of the flow too")
    parser.add_argument("--only", default="", help="data sets whose name holds this word")
    parser.add_argument("--part", choices=("table", "depths", "times"), action="append")
    options = parser.parse_args()
    flows = ("linear_reference",) if options.linear else ()
    flows = ("linear_reference", "trajectory") if options.flow else flows
    chosen = [data for data in data_sets() if options.only in data.name]
    if not chosen:
        parser.error(f"--only {options.only!r} is in none of the names of the data sets")
    parts = options.part or ("table", "depths", "times")
    print(f"machine: {machine()}\n")
    if "table" in parts:
        heads = f"textbook | Theorem 1 | linear reference | flow tube | {DESCENTS} | Theorem 5"
        print(f"| data | {heads} |")
        print("|---|---|---|---|---|---|---|---|---|")
        either, start = (
            sum(same) for same in zip(*[row(data, flows) for data in chosen], strict=True)
        )
        print(f"\ndescent certified at the practical width: {either} of {len(chosen)} data sets,")
        print(f"from the start: {start}")
    if "depths" in parts:
        depths(flows)
    if "times" in parts:
        times()


if __name__ == "__main__":
    main()
