"""Data sets, networks and the search for a width, each search within a limit of CPU time."""

import contextlib
import signal
from typing import NamedTuple

import jax
import numpy as np

from widthwise.model.architecture import Layer


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


class _Spent(BaseException):
    """The CPU time of a cell is over; no ``except Exception`` on the way may take it."""


@contextlib.contextmanager
def _within(seconds):
    """Raise in the body when this process has used so many CPU seconds in it."""

    def over(*_):
        raise _Spent

    before = signal.signal(signal.SIGPROF, over)
    # again and again, as where it comes in a callback of the garbage collector it is dropped
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Cell(NamedTuple):
    """What a search found: the first width that holds, or the last that does not."""

    width: int | None
    refused: int | None = None
    spent: bool = False

    def __str__(self):
        if self.width is not None:
            return said(self.width)
        last = "≥ 4" if self.refused is None else f"> {self.refused}"
        return f"{last} (time)" if self.spent else last


def said(width):
    return f"{width}" if width < 10_000 else f"{width:.1e}"


def smallest(holds, limit, seconds):
    """The first of 4, 6, 8, 12, … that holds, as a :class:`Cell`."""
    refused = None
    try:
        with _within(seconds):
            n = 4
            while n <= limit:
                for width in (n, n * 3 // 2):
                    if width > limit:
                        break
                    if holds(width):
                        return Cell(width)
                    refused = width
                n *= 2
    except _Spent:
        return Cell(None, refused, True)
    return Cell(None, refused)
