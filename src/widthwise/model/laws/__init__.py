"""Laws of weights and biases, standardized to mean 0 and variance 1: see ``law`` for the math."""

from collections.abc import Callable, Mapping
from typing import Any

from widthwise.model.laws.discrete import Discrete as Discrete
from widthwise.model.laws.exponential import Exponential as Exponential
from widthwise.model.laws.gamma import Gamma as Gamma
from widthwise.model.laws.gaussian import Gaussian as Gaussian
from widthwise.model.laws.laplace import Laplace as Laplace
from widthwise.model.laws.law import Law as Law
from widthwise.model.laws.rademacher import Rademacher as Rademacher
from widthwise.model.laws.scipy_law import ScipyLaw as ScipyLaw
from widthwise.model.laws.scipy_law import from_scipy as from_scipy
from widthwise.model.laws.student_t import StudentT as StudentT
from widthwise.model.laws.truncated_gaussian import TruncatedGaussian as TruncatedGaussian
from widthwise.model.laws.uniform import Uniform as Uniform

# name: (law, parameters it needs, parameters it may take)
_LAWS: dict[str, tuple[Callable[..., Law], tuple[str, ...], tuple[str, ...]]] = {
    "gaussian": (Gaussian, (), ()),
    "uniform": (Uniform, (), ()),
    "rademacher": (Rademacher, (), ()),
    "laplace": (Laplace, (), ()),
    "exponential": (Exponential, (), ()),
    "truncated_gaussian": (TruncatedGaussian, (), ("bound",)),
    "gamma": (Gamma, ("shape",), ()),
    "student_t": (StudentT, ("df",), ()),
    "discrete": (Discrete, ("values", "probabilities"), ()),
}
_ALIASES = {"normal": "gaussian", "truncated_normal": "truncated_gaussian"}


def get(law: object) -> Law:
    """The law that a name or a mapping describes; a ``Law`` is returned as it is.

    Example:
        ```python
        from widthwise.model import laws

        laws.get("uniform")
        laws.get({"name": "student_t", "df": 5})
        ```

    Args:
        law: a ``Law``; a name ("gaussian" or "normal", "uniform", "rademacher", "laplace",
            "exponential", "truncated_gaussian" or "truncated_normal"; case does not matter); or a
            mapping with "name" and the law's parameters.

    Raises:
        ValueError: an unknown name, or a parameter that is missing, unknown or out of range.
    """
    if isinstance(law, Law):
        return law
    accepted = f"accepted names: {', '.join([*_LAWS, *_ALIASES])}"
    if isinstance(law, str):
        law = {"name": law}
    if not isinstance(law, Mapping):
        raise ValueError(
            f"a law is a Law, a name or a mapping with a name, got {law!r}; {accepted}; "
            "a frozen scipy distribution goes through from_scipy"
        )
    parameters: dict[Any, Any] = dict(law)
    name = parameters.pop("name", None)
    key = name.strip().lower().replace("-", "_").replace(" ", "_") if isinstance(name, str) else ""
    key = _ALIASES.get(key, key)
    if key not in _LAWS:
        raise ValueError(f"unknown law {name!r} in {law!r}; {accepted}")
    make, needed, optional = _LAWS[key]
    missing = [p for p in needed if p not in parameters]
    if missing:
        raise ValueError(
            f"the law {key!r} needs the parameter {' and '.join(missing)}, got {law!r}; write "
            f"{{'name': {key!r}, {', '.join(f'{p!r}: ...' for p in needed)}}}; {accepted}"
        )
    unknown = [p for p in parameters if p not in (*needed, *optional)]
    if unknown:
        takes = ", ".join((*needed, *optional)) or "no parameters"
        raise ValueError(f"the law {key!r} takes {takes}, got {unknown[0]!r} in {law!r}")
    return make(**parameters)
