"""One job, from its payload to arrays: a pure function that any process can import and call."""

import jax
import numpy as np

from widthwise.experiments.quantities import (
    certificates,
    distances,
    edgeworth,
    ensemble,
    initial_ensemble,
    initial_series,
    limit_kernels,
    ntk_ensemble,
    ntk_statistics,
    predicted_distances,
    predictions,
    training_law,
)
from widthwise.experiments.quantities.coverage import is_refusal
from widthwise.experiments.quantities.payload import parse
from widthwise.experiments.quantities.quantity import Arrays, Members, Quantity
from widthwise.experiments.quantities.setting import setting

QUANTITIES: dict[str, Quantity] = {
    module.QUANTITY.name: module.QUANTITY
    for module in (
        limit_kernels,
        initial_series,
        edgeworth,
        ntk_statistics,
        training_law,
        predicted_distances,
        initial_ensemble,
        ntk_ensemble,
        ensemble,
        predictions,
        distances,
        certificates,
    )
}
"""Name → quantity, in the order of the theory."""

REFUSAL = "refusal"


def compute(payload: str) -> Arrays:
    """The arrays of one job; they depend on the payload alone, bit for bit.

    Where the theory does not cover a grid point, the one array ``"refusal"`` holds the reason as
    UTF-8 text. Networks whose training diverges are counted (``"diverged"``) and left out.

    Args:
        payload: of a :class:`~widthwise.experiments.jobs.Job`.

    Returns:
        name → array.

    Raises:
        ValueError: for a text that is no payload, a data file that changed, or a computation that
            went wrong.
    """
    jax.config.update("jax_enable_x64", True)
    asked = parse(payload)
    quantity = QUANTITIES[asked.quantity]
    place = setting(asked)
    size = place.point.compute.block
    members = Members(asked.block * size, size)
    try:
        return quantity.compute(place, members)
    except ValueError as error:
        if not is_refusal(error):
            raise
        return {REFUSAL: np.frombuffer(str(error).encode(), dtype=np.uint8)}


def refusal(arrays: Arrays) -> str | None:
    """Why a job has no result, or ``None``."""
    return bytes(arrays[REFUSAL]).decode() if REFUSAL in arrays else None
