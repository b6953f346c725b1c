"""Certificates as lines for a terminal and as values for programs."""

from collections.abc import Callable
from dataclasses import asdict

from widthwise.certify import Certificate, CertifiedWidth, certified_width, certify
from widthwise.certify.posterior.certify import Arithmetic, Method
from widthwise.experiments.certificates import network_key
from widthwise.experiments.data import Dataset
from widthwise.experiments.spec import Spec
from widthwise.model.architecture import MLP

Progress = Callable[[int, int, str], None]


def certificates(
    spec: Spec,
    dataset: Dataset,
    net: MLP,
    widths: tuple[int, ...],
    method: Method,
    arithmetic: Arithmetic,
    progress: Progress,
) -> list[tuple[int, Certificate]]:
    """The certificate of one network per width, by the study's dynamics.

    Raises:
        ValueError: for a method that does not fit the dynamics, or arithmetic that is not there.
    """
    found = []
    for number, width in enumerate(widths):
        progress(number, len(widths), f"network of width {width}")
        parameters = net.init(network_key(spec, width), width, dataset.x_train.shape[1])
        made = certify(
            net,
            parameters,
            dataset.x_train,
            dataset.y_train,
            method,
            spec.study.method,
            spec.study.step if spec.study.method == "descent" else None,
            arithmetic,
        )
        found.append((width, made))
    progress(len(widths), len(widths), "done")
    return found


def planned(dataset: Dataset, net: MLP, probability: float) -> CertifiedWidth | str:
    """The width Theorem 5 proves for this probability, or why there is none."""
    try:
        return certified_width(
            net, dataset.x_train, dataset.y_train, probability=probability, kind="proven"
        )
    except ValueError as reason:
        return f"No width is proven: {reason}."


def lines(
    spec: Spec, found: list[tuple[int, Certificate]], plan: CertifiedWidth | str | None
) -> list[str]:
    """The theorems in words, one network after the other, then the width in advance."""
    said = []
    for width, made in found:
        drawn = f"One network of width {width}, drawn with seed {spec.seed}, trained by gradient"
        said += [f"{drawn} {spec.study.method}:", str(made), ""]
    if plan is not None:
        said += ["In advance, for any network drawn like this:", str(plan), ""]
    return said[:-1]


def values(found: list[tuple[int, Certificate]], plan: CertifiedWidth | str | None) -> dict:
    """The same as plain values."""
    result: dict = {
        "certificates": [
            {"width": width, **asdict(made), "statement": str(made)} for width, made in found
        ]
    }
    if isinstance(plan, str):
        result["width_for"] = {"width": None, "statement": plan}
    elif plan is not None:
        result["width_for"] = asdict(plan)
    return result
