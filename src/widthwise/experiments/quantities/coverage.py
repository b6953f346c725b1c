"""What the theory does not cover, told apart from what is broken.

A refusal is a result: it is stored, shown, and not tried again. So only what the library says about
the mathematics may become one: :class:`NotCovered`, an integral or a kernel beyond the reach of its
method, or a ``ValueError`` that a chapter of theory or the training raised in its own words. A
``ValueError`` of NumPy or SciPy (shapes that do not fit, a matrix that is not positive definite),
or one of the checks of arguments, is a failure: it is reported, and tried again by the next run.
"""

import linecache
import traceback

from widthwise.algebra.gaussian import QuadratureError
from widthwise.limit.gp import SingularKernelError

_CHAPTERS = tuple(
    f"widthwise.{name}."
    for name in ("initial", "training", "limit", "measure", "certify", "model",
                 "finite.ensembles", "finite.pilot")
)  # fmt: skip


class NotCovered(ValueError):
    """There is no result at a grid point, and no other run would find one."""


def is_refusal(error: ValueError) -> bool:
    """Whether an error says what the theory does not cover.

    Args:
        error: caught, so that it knows where it was raised.
    """
    if isinstance(error, NotCovered | QuadratureError | SingularKernelError):
        return True
    if type(error) is not ValueError:
        return False
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    where = f"{frame.f_globals.get('__name__', '')}."
    said = linecache.getline(frame.f_code.co_filename, line).strip()
    return where.startswith(_CHAPTERS) and said.startswith("raise ")
