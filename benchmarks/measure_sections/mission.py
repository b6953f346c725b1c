"""The rate on real data: is √n W₁ bounded over widths and all of training, and without a logarithm?

    python benchmarks/measures.py --section mission     (FIGURE=folder draws)

The statement of the mission is distance ≤ C n^{-1/2} (log n)^{1+δ}, at every time of training. Four
train points and one test point of the diabetes data (10 inputs, scaled to variance 1; labels too)
are the first ones, in a fixed random order, that are not nearly parallel to each other, so that
training converges by the last time. At every width and time: W₁ of the output at the test point
from the time-dependent Gaussian process, measured on trained networks, beside the prediction of the
training law (at t = 0 the exact distance); √n W₁; and √n W₁/(log n)^{1.1}. Then their largest
values, and tests of stated laws n^{-p} (log n)^q, no q fitted. A skewed network is the sharp case
n^{-1/2}, a symmetric one is 1/n.

The paired estimator is refused by itself where the law is too far from Gaussian for its six Hermite
degrees; there, at small widths, the distance is that of the samples, from more networks.
"""

import os
import time
from typing import NamedTuple

import jax
import numpy as np
from sklearn.datasets import load_diabetes

import widthwise as ww
from widthwise.measure.estimators import measured_distances

jax.config.update("jax_enable_x64", True)
WIDTHS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
TIMES = (0.0, 0.3, 1.0, 3.0, 8.0)
DELTA = 0.1
TRAIN, PARALLEL = 4, 0.5  # |cosine| of two train points is below
TEST = np.eye(TRAIN + 1)[TRAIN]
SINGLE = 256  # wider networks are trained in single precision
RAW = 2  # times as many networks for plain samples


class Case(NamedTuple):
    """A network, the exponent of its law, and how many are trained up to which width."""

    activation: str
    readout: str
    power: float
    members: dict[int, int]

    def at(self, width: int) -> int:
        """Networks of this width."""
        return next(count for most, count in self.members.items() if width <= most)


CASES = (
    Case("softplus", "exponential", 0.5, {1024: 4096, 4096: 3072}),
    Case("tanh", "gaussian", 1.0, {1024: 6144, 4096: 4096}),
)


class Row(NamedTuple):
    """The distance at one width and time."""

    width: int
    time: float
    value: float
    error: float
    predicted: float
    expected_error: float
    how: str

    @property
    def root(self) -> float:
        """√n W₁."""
        return self.width**0.5 * self.value

    @property
    def scaled(self) -> float:
        """√n W₁/(log n)^{1+δ}."""
        return self.root / np.log(self.width) ** (1 + DELTA)

    @property
    def top(self) -> float:
        """How much larger the distance may be, at two standard errors."""
        return 1 + 2 * self.error / self.value

    def __str__(self) -> str:
        own, root, scaled = self.error / self.value, self.root, self.scaled
        z = (self.value - self.predicted) / np.hypot(self.error, self.expected_error)
        return (
            f"  {self.width:5d} {self.time:5g}  {self.value:.3e} ± {self.error:.1e}  "
            f"{self.predicted:.3e} ± {self.expected_error:.1e}  {z:+5.1f}  "
            f"{root:.4f} ± {own * root:.4f}  {scaled:.4f} ± {own * scaled:.4f}  "
            f"{self.how}"
        )


def data():
    """Train points and labels, and the test point."""
    found = load_diabetes()
    x = found.data * np.sqrt(len(found.data))
    y = (found.target - found.target.mean()) / found.target.std()
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    order = np.random.default_rng(0).permutation(len(x))
    chosen: list[int] = []
    for i in order:
        if np.abs(unit[chosen] @ unit[i]).max(initial=0) < PARALLEL and len(chosen) < TRAIN:
            chosen.append(int(i))
    test = next(i for i in order if i not in chosen)
    return x[chosen], y[chosen], x[[test]]


def network(activation, readout):
    laws = ("gaussian", readout)
    return ww.MLP(1, activation, weight_std=(1.5, 1.0), bias_std=(0.5, 0.0), weight_law=laws)


def measure(net, problem, law, n, times, members, seed=5):
    """The rows of one width: the paired estimator, or samples where that does not hold."""
    key = jax.random.fold_in(jax.random.key(seed), n)
    options = {"tolerance": 1e-6} | ({"precision": "float32"} if n > SINGLE else {})
    found = list(measured_distances(net, *problem, TEST, n, times, members, key, **options))
    refused = [i for i, d in enumerate(found) if d.notes]
    if refused:
        again = [times[i] for i in refused]
        raw = measured_distances(
            net, *problem, TEST, n, again, RAW * members, key, method="raw", **options
        )
        for i, d in zip(refused, raw, strict=True):
            found[i] = d
    rows = []
    for t, d in zip(times, found, strict=True):
        if t:
            p = ww.predicted_distance(law, TEST, n, t)
        else:
            p = ww.exact_distance(net, problem[2], None, n)
        rows.append(Row(n, t, d.value, d.error, p.value, p.error, d.method.split(",")[0]))
    return rows


def fit(rows, case):
    """Tests of the stated laws at one time."""
    columns = np.array([(r.width, r.value, r.error, r.predicted) for r in rows]).T
    stated = [(case.power, q) for q in (0.0, 0.5, 1.0)]
    n, value, error, predicted = columns
    return ww.fit_rate(n, value, error, predicted=predicted, hypotheses=stated, delta=DELTA)


def verdict(fits, power):
    """Whether the logarithm is needed, in a sentence, from the tests at all times."""
    kept = [[not f.hypotheses[i].rejected for f in fits] for i in range(3)]
    plain, half, whole = (sum(k) for k in kept)
    name, of = f"n^-{power:g}", f"of {len(fits)} times"
    said = (
        f"{name} without a logarithm is kept at {plain} {of}, {name} (log n)^0.5 at {half}, "
        f"{name} log n at {whole}: "
    )
    if plain < len(fits):
        return said + "the plain law does not describe the data."
    if whole:
        return said + "no logarithm is needed, but these data do not exclude one at every time."
    return said + "no logarithm is needed, and a whole one is excluded at every time."


def report_case(case, problem):
    """Rows as they come, their largest values, and the tests."""
    x, y, xs = problem
    net, start = network(case.activation, case.readout), time.process_time()
    slowest = ww.linear_flow(net, x, y, xs).eigenvalues
    print(
        f"diabetes, {TRAIN} train points and 1 test point, {case.activation} × {case.readout}; "
        f"eigenvalues of Θ {np.round(slowest, 3)}, exp(−λ t) ≤ "
        f"{np.exp(-slowest.min() * TIMES[-1]):.1g} at t = {TIMES[-1]:g}"
    )
    print(
        "      n     t  W₁ measured            predicted              z*  √n W₁            scaled"
    )
    law, rows = ww.training_law(net, x, y, xs, [*TIMES, np.inf]), []
    for n in WIDTHS:
        new = measure(net, problem, law, n, TIMES, case.at(n))
        rows += new
        print(*new, sep="\n")
        worst = max(new, key=lambda r: r.root)
        print(
            f"  {n:5d}   all  √n W₁ ≤ {worst.root:.4f}, scaled ≤ {worst.scaled:.4f} (t = "
            f"{worst.time:g}); {case.at(n)} networks, {time.process_time() - start:.0f} CPU s",
            flush=True,
        )
    root, scaled = (max(rows, key=lambda r, of=of: of(r) * r.top) for of in (_root, _scaled))
    print(
        f"  sup over n and t, two standard errors added: √n W₁ ≤ {root.root * root.top:.3f} "
        f"(n = {root.width}, t = {root.time:g}); √n W₁/(log n)^{1 + DELTA:g} ≤ "
        f"{scaled.scaled * scaled.top:.4f} (n = {scaled.width}, t = {scaled.time:g})"
    )
    last = ww.predicted_distance(law, TEST, WIDTHS[-1], np.inf)
    print(f"  predicted at t = ∞, n = {WIDTHS[-1]}: W₁ = {last.value:.3e} ± {last.error:.0e}")
    fits = []
    for t in TIMES:
        fits.append(fit([r for r in rows if r.time == t], case))
        print(f"  t = {t:g}: " + str(fits[-1]).replace("\n", "\n      "))
    print(f"  {verdict(fits, case.power)}", flush=True)
    return rows


def _root(row):
    return row.root


def _scaled(row):
    return row.scaled


def report():
    problem = data()
    for case in CASES:
        rows = report_case(case, problem)
        if folder := os.environ.get("FIGURE"):
            draw(folder, case.activation, rows)


def draw(folder, name, rows):
    from widthwise.show import figures

    shape = len(WIDTHS), len(TIMES)
    columns = [(r.predicted, r.value, r.error) for r in rows]
    predicted, value, error = np.array(columns).T.reshape(3, *shape)
    by_time = (a.T for a in (predicted, value, error))
    one = figures.distance_in_width(np.array(WIDTHS), np.array(TIMES), *by_time)
    some = [0, 2, 4]
    two = figures.distance_in_time(
        np.array(TIMES), np.array(WIDTHS)[some], predicted[some], value[some], error[some]
    )
    one.write_html(f"{folder}/{name}_width.html", include_plotlyjs=True)
    two.write_html(f"{folder}/{name}_time.html", include_plotlyjs=True)
