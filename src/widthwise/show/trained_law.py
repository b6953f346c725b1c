"""The law of the outputs during training as lines for a terminal and as rows for programs."""

import math

import numpy as np

from widthwise.show.verdict.wording import number
from widthwise.training.law import TrainingLaw

_MOST = 10  # rows of each set on a terminal


def rows(law: TrainingLaw, width: int, train: int) -> list[dict]:
    """Mean and standard deviation of every output at every time, at infinite width and at n.

    Args:
        law: the law.
        width: n.
        train: how many of the points are train points.

    Returns:
        Rows with the keys ``time``, ``set`` ("train" or "test"), ``point``, ``output``,
        ``limit_mean``, ``limit_std``, ``mean`` and ``std``. A variance that the series makes
        negative has no root: ``None``.
    """
    limit, corrected = (law.mean(width, order=order) for order in (0, None))
    spread = [_variances(law.covariance(width, order=order), law) for order in (0, None)]
    found = []
    for t, time in enumerate(law.times):
        for point in range(law.points):
            for output in range(law.outputs):
                at = t, point, output
                found.append(
                    {
                        "time": float(time),
                        "set": "train" if point < train else "test",
                        "point": point if point < train else point - train,
                        "output": output,
                        "limit_mean": float(limit[at]),
                        "limit_std": _root(spread[0][at]),
                        "mean": float(corrected[at]),
                        "std": _root(spread[1][at]),
                    }
                )
    return found


def lines(law: TrainingLaw, width: int, train: int) -> list[str]:
    """The last time's rows as a table, of many only the first, and what to think of them."""
    last = float(law.times[-1])
    head = f"{'':<18}{'infinite width':>22}{f'width {width}':>22}"
    table = [f"Outputs at t = {number(last, 4)}: mean ± standard deviation over networks", "", head]
    final = [row for row in rows(law, width, train) if row["time"] == last]
    for which in ("train", "test"):
        some = [row for row in final if row["set"] == which]
        shown = len(some) if len(some) <= _MOST + 1 else _MOST  # "1 more" takes a line as well
        for row in some[:shown]:
            name = f"{row['set']} {row['point']}"
            name += f", output {row['output']}" if law.outputs > 1 else ""
            table.append(
                f"{name:<18}{_cell(row['limit_mean'], row['limit_std']):>22}"
                f"{_cell(row['mean'], row['std']):>22}"
            )
        if shown < len(some):
            what = "points" if law.outputs == 1 else "outputs of points"
            table.append(f"… and {len(some) - shown} more {which} {what} (--json gives all)")
    return [*table, "", f"Reliability: {law.reliability(width).verdict}", f"Engine: {law.engine}"]


def _variances(covariance: np.ndarray, law: TrainingLaw) -> np.ndarray:
    rows = law.points * law.outputs
    square = covariance.reshape(len(covariance), rows, rows)
    return np.einsum("trr->tr", square).reshape(len(square), law.points, law.outputs)


def _root(variance: float) -> float | None:
    return math.sqrt(variance) if variance >= 0 else None


def _cell(mean: float, std: float | None) -> str:
    return f"{mean:+.4f} ± {'negative variance' if std is None else f'{std:.4f}'}"
