r"""Draw networks, certify each, and infer the probability that a network is certified.

At a width, N independent seeds of which k are certified give

    P(certified) ≥ p_-,   p_- = the γ quantile of Beta(k, N - k + 1),

with confidence 1 - γ (Clopper and Pearson, 1934). The search looks at several widths, so the j-th
width tested gets γ_j = 6γ/(π²j²): all statements together hold with confidence 1 - γ (Bonferroni).
By default N_j is the smallest number for which no failure is allowed, log γ_j/log p; a width is
given up as soon as its failures exclude p, and its limit is then that of N with the networks not
drawn counted as failures. That P(certified) grows with the width is not known:
the statement is about the widths tested.
"""

import math
from collections.abc import Callable

from scipy import stats

from widthwise.certify.outward import down
from widthwise.certify.prior.value import CertifiedWidth, TestedWidth


def clopper_pearson(successes: int, trials: int, level: float) -> float:
    """Lower confidence limit, at confidence 1 - level, of a probability of success."""
    if successes == 0:
        return 0.0
    return float(stats.beta.ppf(level, successes, trials - successes + 1))


def seeds_needed(probability: float, level: float) -> int:
    """The smallest number of seeds whose success, all of them, proves the probability."""
    return math.ceil(math.log(level) / math.log(probability))


def level_of_test(number: int, level: float) -> float:
    """What the test of this number (from 1) may spend of the level of all tests."""
    return 6 * level / (math.pi * number) ** 2


def run_test(
    succeeds: Callable[[int], bool], width: int, seeds: int, probability: float, level: float
) -> TestedWidth:
    """Seeds 0, 1, … at one width, until they are enough or failures exclude the probability."""
    certified = 0
    for drawn in range(1, seeds + 1):
        certified += bool(succeeds(drawn - 1))
        best = certified + seeds - drawn
        if clopper_pearson(best, seeds, level) < probability:
            # as if all networks not drawn had failed: valid whenever one stops
            limit = clopper_pearson(certified, seeds, level)
            return TestedWidth(width, certified, drawn, limit, False)
    limit = clopper_pearson(certified, seeds, level)
    return TestedWidth(width, certified, seeds, limit, limit >= probability)


def statistical_width(
    succeeds: Callable[[int, int], bool],
    probability: float,
    confidence: float,
    seeds: int | None,
    start: int,
    largest: int,
    what: str,
) -> CertifiedWidth:
    """The smallest tested width whose lower limit reaches the probability.

    Args:
        succeeds: (width, seed) to whether that network is certified.
        probability: what the lower limit must reach.
        confidence: of all statements together.
        seeds: N per width; ``None`` for the fewest without failures.
        start: first width tested; widths double from there.
        largest: last width tested.
        what: what is certified, in words.
    """
    tested: list[TestedWidth] = []

    def passes(width: int) -> bool:
        level = level_of_test(len(tested) + 1, 1 - confidence)
        count = seeds_needed(probability, level) if seeds is None else seeds
        made = run_test(lambda seed: succeeds(width, seed), width, count, probability, level)
        tested.append(made)
        return made.passed

    high, low = start, 0
    while not passes(high):
        low, high = high, 2 * high
        if high > largest:
            return _none(tested, probability, confidence, largest, what)
    while low and high - low > max(1, high // 8):
        middle = (low + high) // 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    found = next(test for test in tested if test.width == high)
    statement = (
        f"At width {high}, {found.certified} of {found.seeds} independent networks were certified "
        f"({what}): with confidence {confidence:g} the probability over the initialization that a "
        f"network of this width is certified is at least {down(found.lower_limit, 4)}. "
        f"{_shared(len(tested))}; nothing is claimed about other widths."
    )
    return CertifiedWidth(
        high, "statistical", probability, confidence, tuple(tested), {}, statement
    )


def _none(
    tested: list[TestedWidth], probability: float, confidence: float, largest: int, what: str
) -> CertifiedWidth:
    last = tested[-1]
    statement = (
        f"No width up to {largest} was found at which a network is certified ({what}) with "
        f"probability {probability:g}: at width {last.width}, {last.certified} of {last.seeds} "
        "were. Raise largest, lower probability, or take dynamics='descent'."
    )
    return CertifiedWidth(
        math.inf, "statistical", probability, confidence, tuple(tested), {}, statement
    )


def _shared(count: int) -> str:
    if count == 1:
        return "No other width was tested"
    return f"{count} widths were tested and share that confidence"
