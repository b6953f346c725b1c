"""The command ``widthwise``: demo, report, law, certify, cite; run, resume, status, export.

Exit codes: 0 done; 1 a computation failed; 2 bad input, and then nothing was written; 130 stopped
by Ctrl-C. A failure is one readable message on stderr; ``--debug`` adds the traceback. With
``--json`` stdout holds one JSON object and nothing else.

JAX and everything above it is imported inside the commands, after JAX was set to float64 and to a
compilation cache in the user's cache folder.
"""

import contextlib
import json as json_module
import os
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError
from rich.console import Console

from widthwise import __version__
from widthwise.certify.posterior.certify import Arithmetic, Method
from widthwise.show import studies
from widthwise.show.plain import plain
from widthwise.show.terminal import (
    BAD_INPUT,
    DONE,
    FAILED,
    INTERRUPTED,
    BadInput,
    Failed,
)
from widthwise.show.terminal import prepare_jax as _prepare_jax
from widthwise.show.terminal import progress as _progress

if TYPE_CHECKING:
    from widthwise.experiments.comparison import Comparison
    from widthwise.experiments.data import Dataset
    from widthwise.experiments.spec import Spec

_COMMANDS = ("demo", "report", "law", "certify", "cite", *studies.COMMANDS)
app = App(
    name="widthwise",
    help="What infinite-width theory leaves out: the laws of finite-width neural networks, checked "
    "against real networks.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
studies.register(app)

_Json: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON object for programs.")
]
_Debug: TypeAlias = Annotated[
    bool, Parameter(negative="", help="Show the traceback if something fails.")
]
_Width: TypeAlias = Annotated[
    int | None, Parameter(help="The width n. [default: the largest width of the study]")
]


@app.command
def demo(
    *,
    output: Annotated[Path, Parameter(help="Folder for report.html, or an .html file.")] = Path(
        "widthwise-demo"
    ),
    json: _Json = False,
    debug: _Debug = False,
) -> int:
    """Compare theory with simulated networks on a small data set; write an HTML report."""
    target = _target(output)
    with resources.as_file(resources.files("widthwise.experiments") / "demo.toml") as spec_file:
        return _compare_and_report(
            spec_file, target, as_json=json, command=["demo", "--output", str(output)]
        )


@app.command
def report(
    spec: Annotated[
        Path,
        Parameter(help="A TOML file (see the folder examples/), or the directory of a study."),
    ],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(help="An .html file, or a folder for report.html. [default: SPEC's name .html]"),
    ] = None,
    json: _Json = False,
    debug: _Debug = False,
) -> int:
    """Compare theory with simulated networks as a TOML file says; write an HTML report.

    Of the directory of a study, report what the study has computed so far.
    """
    target = _target(Path(f"{spec.stem or 'report'}.html") if output is None else output)
    if spec.is_dir():
        _check_writable(target)
        return studies.report(spec, target, as_json=json)
    return _compare_and_report(
        spec, target, as_json=json, command=["report", str(spec), "--output", str(target)]
    )


@app.command
def law(
    spec: Annotated[Path, Parameter(help="The study: a TOML file (see the folder examples/).")],
    /,
    *,
    width: _Width = None,
    json: _Json = False,
    debug: _Debug = False,
) -> int:
    """Print mean and spread of the outputs during training at one width; trains no network."""
    _prepare_jax()
    study, dataset = _inputs(spec)
    if study.study.method != "flow":
        raise BadInput(
            f"{spec}: the law of training is known for gradient flow; got method = "
            f'"{study.study.method}"'
        )
    n = max(study.study.widths) if width is None else width
    if n < 1:
        raise BadInput(f"--width must be at least 1, got {width}")
    import numpy as np

    from widthwise.show import trained_law
    from widthwise.training.law import require_law, training_law

    net, times = study.network(outputs=dataset.outputs), np.asarray(study.study.times, dtype=float)
    test = dataset.x_test
    points = len(dataset.x_train) + (0 if test is None else len(test))
    try:
        require_law(net, points, times)
    except ValueError as error:
        raise BadInput(f"{spec}: {error}") from error
    found = training_law(net, dataset.x_train, dataset.y_train, test, times)
    train = len(dataset.x_train)
    if json:
        result = {
            "width": n,
            "rows": trained_law.rows(found, n, train),
            "reliability": found.reliability(n).verdict,
            "engine": found.engine,
            "spec_hash": study.hash,
            "data_hash": dataset.hash,
        }
        print(json_module.dumps(plain(result), ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(trained_law.lines(found, n, train)))
    return DONE


@app.command
def certify(
    spec: Annotated[Path, Parameter(help="The study: a TOML file (see the folder examples/).")],
    /,
    *,
    width: _Width = None,
    every_width: Annotated[
        bool, Parameter(negative="", help="One network of every width of the study.")
    ] = False,
    method: Annotated[
        Method,
        Parameter(help="The theorem to use; auto tries those that fit in turn."),
    ] = "auto",
    arithmetic: Annotated[
        Arithmetic,
        Parameter(
            help="Float64 with bounds of its rounding, or outward-rounded intervals (smooth "
            "activations)."
        ),
    ] = "margins",
    width_for: Annotated[
        float | None,
        Parameter(help="Also the width at which a theorem promises success so likely: 0.95."),
    ] = None,
    json: _Json = False,
    debug: _Debug = False,
) -> int:
    """Prove that training one network, drawn at random, reaches zero loss, if a proof is found.

    That no proof is found is a result too: it does not say that training fails.
    """
    _prepare_jax()
    study, dataset = _inputs(spec)
    if width is not None and (every_width or width < 1):
        raise BadInput(f"--width must be at least 1 and without --every-width, got {width}")
    if width_for is not None and not 0 < width_for < 1:
        raise BadInput(f"--width-for must be a probability between 0 and 1, got {width_for:g}")
    from widthwise.show import certified

    widths = study.study.widths if every_width else (width or study.study.widths[-1],)
    net = study.network(outputs=dataset.outputs)
    try:
        with _progress() as progress:
            found = certified.certificates(
                study, dataset, net, widths, method, arithmetic, progress
            )
    except ValueError as error:
        raise BadInput(f"{spec}: {error}") from error
    plan = None if width_for is None else certified.planned(dataset, net, width_for)
    if json:
        hashes = {"spec_hash": study.hash, "data_hash": dataset.hash}
        result = certified.values(found, plan) | hashes
        print(json_module.dumps(plain(result), ensure_ascii=False, allow_nan=False))
    else:
        print("\n".join(certified.lines(study, found, plan)))
    return DONE


@app.command
def cite() -> int:
    """Print what to cite, as BibTeX."""
    from widthwise.show.cite import citations

    print(citations(), end="")
    return DONE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: the words after ``widthwise``; those of the process by default.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    debug = "--debug" in words
    try:
        return app(
            words,
            exit_on_error=False,
            print_error=False,
            result_action="return_int_as_exit_code_else_zero",
        )
    except UnusedCliTokensError as error:
        extra = shlex.join(error.unused_tokens or ())
        return _complain(f"unexpected: {extra}\nSee: {_help_for(words)}", BAD_INPUT, debug)
    except CycloptsError as error:
        return _complain(f"{error}\nSee: {_help_for(words)}", BAD_INPUT, debug)
    except BadInput as error:
        return _complain(str(error), BAD_INPUT, debug)
    except KeyboardInterrupt as stopped:
        said = str(stopped) or "interrupted; no report was written"
        return _complain(said, INTERRUPTED, debug)
    except BrokenPipeError:
        # the reader of stdout has left (`| head`): nobody to tell
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return FAILED
    except Failed as error:
        return _complain(str(error), FAILED, debug)
    except Exception as error:
        kind = "" if isinstance(error, ValueError | RuntimeError) else f"{type(error).__name__}: "
        hint = "" if debug else "\nRun it again with --debug to see where."
        return _complain(f"the computation failed: {kind}{error}{hint}", FAILED, debug)


def _help_for(words: Sequence[str]) -> str:
    command = words[0] if words and words[0] in _COMMANDS else None
    return " ".join(filter(None, ("widthwise", command, "--help")))


def _complain(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    with contextlib.suppress(BrokenPipeError):
        print(f"widthwise: {message}", file=sys.stderr)
    return code


# The flow of demo and report. ---------------------------------------------------------------------


def _compare_and_report(
    spec_file: Path, target: Path, *, as_json: bool, command: Sequence[str]
) -> int:
    _prepare_jax()
    spec, dataset = _inputs(spec_file)
    _check_writable(target)
    machinery = _machinery()
    # with --json, people read stderr
    people = Console(stderr=as_json, highlight=False, markup=False, soft_wrap=True)
    _announce(people, spec, dataset)
    with _progress() as progress:
        comparison = machinery.compare(
            spec, dataset, command=shlex.join(["widthwise", *command]), progress=progress
        )
    _write(machinery.write_report, comparison, target)
    sentences = machinery.sentences(comparison)
    for sentence in sentences:
        people.print(f"• {sentence}")
    people.print(f"\nReport: {target}  ({comparison.seconds:.0f} s; open it in a browser)")
    if as_json:
        result = {
            "report": str(target),
            "verdict": sentences,
            "figures": machinery.figures(comparison),
            "spec_hash": spec.hash,
            "data_hash": dataset.hash,
            "versions": comparison.versions,
            "seconds": comparison.seconds,
        }
        print(json_module.dumps(plain(result), ensure_ascii=False, allow_nan=False))
    return DONE


def _inputs(spec_file: Path) -> "tuple[Spec, Dataset]":
    from widthwise.experiments.data import load
    from widthwise.experiments.spec import Spec

    try:
        spec = Spec.from_toml(spec_file)
        dataset = load(spec.data, spec.seed, base_folder=spec_file.parent)
        spec.network(outputs=dataset.outputs)
    except ValueError as error:
        raise BadInput(str(error)) from error
    return spec, dataset


class _Machinery(NamedTuple):
    compare: Callable[..., Any]
    write_report: Callable[..., Any]
    sentences: Callable[..., Any]
    figures: Callable[..., Any]


def _machinery() -> _Machinery:
    """What computes and draws, imported before anything is computed: an extra may be missing."""
    try:
        from widthwise.experiments.compare import compare
        from widthwise.show.report import write_report
        from widthwise.show.verdict import figures, sentences
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("widthwise"):
            raise
        raise Failed(
            f"the report needs {error.name}, which is not installed; install it with "
            "pip install 'widthwise[report]'"
        ) from error
    return _Machinery(compare, write_report, sentences, figures)


def _announce(people: Console, spec: "Spec", dataset: "Dataset") -> None:
    people.print(f"{spec.title}  (spec {spec.hash}, data {dataset.hash})", style="bold")
    network, *study = spec.describe()
    for label, lines in (("Data", dataset.description), ("Network", (network,)), ("Study", study)):
        for i, line in enumerate(lines):
            people.print(f"  {label if i == 0 else '':<9}{line}")
    people.print()


# Files. -------------------------------------------------------------------------------------------


def _target(output: Path) -> Path:
    """The file to write, checked as far as possible without writing."""
    output = output.expanduser()
    if output.is_dir() or not output.suffix:
        output = output / "report.html"
    if output.suffix.lower() not in (".html", ".htm"):
        raise BadInput(
            f"--output {output}: a report is an HTML file; give a name that ends in .html, or a "
            "folder"
        )
    if output.is_dir():
        raise BadInput(f"--output: {output} is a folder; remove it or give another name")
    return output


def _check_writable(target: Path) -> None:
    """Try the nearest folder that exists, so that a long computation does not end in vain."""
    folder = target.absolute().parent
    while not folder.exists():
        folder = folder.parent
    try:
        tempfile.TemporaryDirectory(prefix=".widthwise-", dir=folder).cleanup()
    except OSError as error:
        raise BadInput(
            f"--output {target}: cannot write in {folder} ({error.strerror or error}); give "
            "another folder"
        ) from error


def _write(
    write_report: "Callable[[Comparison, Path], Any]", comparison: "Comparison", target: Path
) -> None:
    """Whole or not at all: written beside its place, then moved there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".widthwise-", dir=target.parent) as folder:
            draft = Path(folder) / target.name
            write_report(comparison, draft)
            os.replace(draft, target)
    except OSError as error:
        raise Failed(f"{target} could not be written: {error.strerror or error}") from error


if __name__ == "__main__":
    sys.exit(main())
