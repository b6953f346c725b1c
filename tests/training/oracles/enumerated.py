r"""The exact law of trained networks whose neurons have finitely many initial states.

One hidden layer, one input, no biases. Neurons that start equal stay equal, so a network of n
neurons is the counts of its kinds, multinomial, and trains as that many weighted particles:

    f_c = n^{1/2} Σ_i p_i a_ic φ(z_i),
    ȧ_ic = −n^{−1/2} φ(z_iβ) r_βc,     ż_ix = −n^{−1/2} a_ic φ'(z_iβ) k_xβ r_βc.

All networks of width n are trained at once, and cumulants over them have no sampling error.
"""

from itertools import product

import numpy as np
from scipy.special import gammaln


def kinds(first, readout, outputs):
    """Atoms (w, a) of one neuron from two lines of (nodes, probabilities), with probabilities."""
    lines = [first] + [readout] * outputs
    atoms = np.array(list(product(*(nodes for nodes, _ in lines))))
    return atoms, np.array([np.prod(w) for w in product(*(w for _, w in lines))])


def counts(n, types):
    """All ways to write n as an ordered sum of ``types`` counts."""
    if types == 1:
        return np.array([[n]])
    parts = []
    for first in range(n + 1):
        rest = counts(n - first, types - 1)
        parts.append(np.column_stack([np.full(len(rest), first), rest]))
    return np.concatenate(parts)


def outputs(n, atoms, probabilities, functions, x, y, time, steps, *, descent=False):
    """Outputs (networks, points, components) of all networks of width n, and their weights.

    Of gradient descent if asked, with steps of time / steps: z is linear in the parameters.
    """
    phi, slope = functions
    c = counts(n, len(atoms))
    logs = gammaln(n + 1) - gammaln(c + 1).sum(1) + c @ np.log(probabilities)
    share, k, m = (c / n)[:, :, None], np.outer(x, x), len(y)
    a = np.broadcast_to(atoms[:, 1:], (len(c), *atoms[:, 1:].shape))
    z = np.broadcast_to(np.outer(atoms[:, 0], x), (len(c), len(atoms), len(x)))

    def result(a, z):
        return np.sqrt(n) * np.einsum("nqx,nqc->nxc", phi(z), share * a)

    def speed(a, z):
        r = (result(a, z)[:, :m] - y) / np.sqrt(n)
        force = slope(z[..., :m]) * np.einsum("nqc,nbc->nqb", a, r)
        return -np.einsum("nqb,nbc->nqc", phi(z[..., :m]), r), -force @ k[:m]

    h = time / steps
    for _ in range(steps):
        a1, z1 = speed(a, z)
        if descent:
            a, z = a + h * a1, z + h * z1
            continue
        a2, z2 = speed(a + h / 2 * a1, z + h / 2 * z1)
        a3, z3 = speed(a + h / 2 * a2, z + h / 2 * z2)
        a4, z4 = speed(a + h * a3, z + h * z3)
        a = a + h / 6 * (a1 + 2 * a2 + 2 * a3 + a4)
        z = z + h / 6 * (z1 + 2 * z2 + 2 * z3 + z4)
    return result(a, z), np.exp(logs)


def cumulant(values, weights):
    """The joint cumulant of up to four columns of values."""
    d = values - weights @ values
    k = values.shape[1]
    moment = lambda *i: weights @ np.prod(d[:, i], axis=1)  # noqa: E731
    if k == 1:
        return float(weights @ values[:, 0])
    if k < 4:
        return moment(*range(k))
    pairs = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))
    return moment(0, 1, 2, 3) - sum(moment(*p[:2]) * moment(*p[2:]) for p in pairs)


def coefficients(
    widths, atoms, probabilities, functions, x, y, time, steps, variables, terms, **options
):
    """Coefficients of n^{−1/2} and 1/n of joint cumulants, from all networks of some widths.

    The law of a network with −a instead of a is the series with −n^{−1/2} in place of n^{−1/2}, and
    its outputs are minus those of labels −y: so even and odd powers part, and each is fitted alone.

    Args:
        variables: a list of (points, components), one per joint cumulant.
        terms: how many powers of one parity are fitted.
        options: of :func:`outputs`.

    Returns:
        (cumulants, 3): the limit and the two coefficients.
    """
    runs = {}
    for n in widths:
        for sign in (1, -1):
            task = (functions, x, sign * y, time, steps)
            f, weights = outputs(n, atoms, probabilities, *task, **options)
            runs[n, sign] = f, weights
    eps = np.array(widths, float) ** -0.5
    found = []
    for points, components in variables:
        flip = (-1) ** len(points)
        plus, minus = (
            np.array(
                [cumulant(runs[n, s][0][:, points, components], runs[n, s][1]) for n in widths]
            )
            for s in (1, -1)
        )
        even, odd = (plus + flip * minus) / 2, (plus - flip * minus) / 2
        powers = 2 * np.arange(terms)
        c = np.linalg.lstsq(eps[:, None] ** powers, even, rcond=None)[0]
        d = np.linalg.lstsq(eps[:, None] ** (powers + 1), odd, rcond=None)[0]
        found.append([c[0], d[0], c[1]])
    return np.array(found)
