"""The smallest certified width by method and data set, and by depth.

erf, one hidden layer, no biases, labels ±1 unless said; parameters drawn with seed 0. A width is
the first of 4, 6, 8, 12, 16, 24, … at which the network is certified; for descent also the first at
which the theorem is about exact descent from the parameters drawn (`from_start`), not from a
computed iterate. "Practical" is the first at which gradient descent with step 1/λ_max(Θ_0) reaches
1e-4 of its first residual. A cell whose CPU time is over says "> n (time)", n the last width that
was refused; the next one was being tried. The textbook ball and Theorem 1 need widths beyond
memory: theirs are the widths at which their condition holds for the spectrum and residual of a
network of width 8192 and the median largest readout weight. Theorem 5 promises success with
probability 0.95.
"""

import functools

import numpy as np
from scipy.stats import norm

import widthwise as ww
from certificate_sections._cells import Cell, data_sets, drawn, said, smallest, sphere
from widthwise.certify import certified_width, certify
from widthwise.certify.constants.shallow import extended_inputs, gram_powers
from widthwise.certify.evaluation import evaluate
from widthwise.certify.posterior.path import shortest_path
from widthwise.certify.posterior.spectrum import Spectrum

ERF = ww.MLP(1, "erf")
LIMITS = {"linear_reference": 2**15, "trajectory": 2**12, "descent": 2**12}
REFERENCE = 8192
ITERATES = 40_000
DESCENTS = "descent, any iterate | descent, from the start | practical descent"


def _descends(net, data, n):
    """Whether plain gradient descent reaches 1e-4 of its first residual."""
    at = evaluate(net, drawn(net, n, data.x.shape[1]), data.x, data.y[:, None])
    step = 1 / np.linalg.eigvalsh(at.kernel)[-1]
    target = 1e-4 * np.linalg.norm(at.residual)
    for _ in range(ITERATES):
        if np.linalg.norm(at.residual) < target:
            return True
        at = at.moved(at.pull(step * at.residual))
    return False


def _flow(net, data, method, seconds):
    def holds(n):
        return certify(net, drawn(net, n, data.x.shape[1]), data.x, data.y, method).holds

    return smallest(holds, LIMITS[method], seconds)


def _descent(net, data, seconds) -> list[Cell]:
    """From an iterate or the start, from the start, practical."""
    made = functools.cache(
        lambda n: certify(net, drawn(net, n, data.x.shape[1]), data.x, data.y, dynamics="descent")
    )
    tests = (
        lambda n: made(n).holds,
        lambda n: made(n).holds and made(n).from_start,
        lambda n: _descends(net, data, n),
    )
    return [smallest(holds, LIMITS["descent"], seconds) for holds in tests]


def _computed(data):
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

    return [said(_halving(holds)) for holds in (textbook, path)]


def _halving(holds):
    high = 4
    while not holds(high):
        high *= 2
    low = high // 2
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _printed(cells):
    print(" ".join(f"{cell} |" for cell in cells), end=" ", flush=True)


def report(options):
    chosen = [data for data in data_sets() if options.only in data.name]
    heads = f"textbook | Theorem 1 | {DESCENTS} | linear reference | flow tube | Theorem 5"
    print(f"| data | {heads} |\n|---|---|---|---|---|---|---|---|---|")
    begins = np.zeros(2, int)
    for data in chosen:
        print(f"| {data.name} |", end=" ", flush=True)
        _printed(_computed(data))
        descents = _descent(ERF, data, options.seconds)
        begins += [cell.width is not None and cell == descents[2] for cell in descents[:2]]
        _printed(descents)
        for method in ("linear_reference", "trajectory"):
            _printed([_flow(ERF, data, method, options.seconds)])
        proven = certified_width(ERF, data.x, data.y, probability=0.95, kind="proven")
        print(f"{said(proven.width)} |", flush=True)
    print(f"\ndescent certified at the practical width: {begins[0]} of {len(chosen)} data sets,")
    print(f"from the start: {begins[1]}")


def report_depths(options):
    print(f"| depth | data | {DESCENTS} | linear reference |")
    print("|---|---|---|---|---|---|")
    for depth in (2, 3):
        net, data = ww.MLP(depth, "erf"), sphere(5, 5)
        print(f"| {depth} | {data.name} |", end=" ", flush=True)
        _printed(_descent(net, data, options.seconds))
        print(f"{_flow(net, data, 'linear_reference', options.seconds)} |", flush=True)
