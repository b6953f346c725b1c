"""What a study found, in words and as one table.

:func:`sentences` is the verdict: findings, then advice, then caveats, in words a newcomer can read,
each number rounded to its error. :func:`figures` is the table of every number behind it. Both read
a :class:`~widthwise.experiments.comparison.Comparison` and compute nothing but z scores
(:mod:`.significance`) and the width a fitted law asks for (:mod:`.wide_enough`).
"""

from widthwise.experiments.comparison import Comparison
from widthwise.show.verdict.doubts import caveats as caveats
from widthwise.show.verdict.outcome import findings as findings
from widthwise.show.verdict.table import figures as figures
from widthwise.show.verdict.wide_enough import TOLERANCE as TOLERANCE
from widthwise.show.verdict.wide_enough import advice as advice
from widthwise.show.verdict.wording import number as number
from widthwise.show.verdict.wording import point_name as point_name
from widthwise.show.verdict.wording import power as power
from widthwise.show.verdict.wording import time_unit as time_unit
from widthwise.show.verdict.wording import with_error as with_error


def sentences(comparison: Comparison) -> tuple[str, ...]:
    """The verdict in words: findings, advice, caveats.

    Args:
        comparison: a computed study.

    Returns:
        One statement per entry, plain text.
    """
    return (*findings(comparison), *advice(comparison), *caveats(comparison))
