"""The commands of studies over a grid: run, resume, status, export, and the report of a directory.

``run`` checks the whole file, loads all data and looks at the budget before it writes anything.
"""

import contextlib
import json as json_module
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import App, Parameter
from rich.console import Console

from widthwise.show.plain import plain
from widthwise.show.terminal import DONE, BadInput, Failed, prepare_jax

if TYPE_CHECKING:
    from widthwise.experiments.study import Study

COMMANDS = ("run", "resume", "status", "export")

Json: TypeAlias = Annotated[
    bool, Parameter(name="--json", negative="", help="Print one JSON object for programs.")
]
Debug: TypeAlias = Annotated[
    bool, Parameter(negative="", help="Show the traceback if something fails.")
]
Kind: TypeAlias = Annotated[
    Literal["serial", "threads", "local", "scheduler", "slurm"] | None,
    Parameter(help="Where jobs run. [default: as the study's [executor] says]"),
]
Workers: TypeAlias = Annotated[
    int | None, Parameter(help="How many workers, for --executor threads or local.")
]
Directory: TypeAlias = Annotated[Path, Parameter(help="The directory of a study.")]


def register(app: App) -> None:
    """Add the commands to the command line."""
    for command in (run, resume, status, export):
        app.command(command)


def run(
    spec: Annotated[Path, Parameter(help="The study: a TOML file (see examples/studies/).")],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(help="The directory for results: new, or that of the same or a smaller study."),
    ] = None,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Print the plan: jobs, time and memory; write nothing.")
    ] = False,
    executor: Kind = None,
    workers: Workers = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Compute a study over a grid; what the output directory holds is not computed again."""
    prepare_jax()
    from widthwise.experiments.study import Study

    with _bad_input():
        study = Study.from_toml(spec)
        study.check()
        if dry_run:
            return _say(study.plan(output), as_json=json)
        if output is None:
            raise BadInput("--output is missing; name a directory for results, or add --dry-run")
    return _compute(study, output, executor, workers, as_json=json)


def resume(
    directory: Directory,
    /,
    *,
    executor: Kind = None,
    workers: Workers = None,
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Compute what a study still lacks, after it was stopped in any way."""
    return _compute(_opened(directory), directory, executor, workers, as_json=json)


def status(directory: Directory, /, *, json: Json = False, debug: Debug = False) -> int:
    """Say how far a study is, and what it could not compute."""
    with _bad_input():
        study = _opened(directory)
        return _say(study.status(), as_json=json, software_changes=study.software_changes)


def export(
    directory: Directory,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(help="The folder for files. [default: DIRECTORY/export]")
    ] = None,
    format: Annotated[
        Literal["netcdf", "csv", "parquet"], Parameter(help="What files.")
    ] = "netcdf",
    json: Json = False,
    debug: Debug = False,
) -> int:
    """Write the results of a study as files that other programs read."""
    target = directory / "export" if output is None else output
    with _bad_input():
        files = _opened(directory).export(target, format)
    if json:
        _print_json({"files": [str(file) for file in files]})
    else:
        print("\n".join(map(str, files)) or "no results yet: nothing was written")
    return DONE


def report(directory: Path, target: Path, *, as_json: bool) -> int:
    """Write the page of a study's directory."""
    with _bad_input():
        study = _opened(directory)
        try:
            written = study.report(target)
        except ModuleNotFoundError as error:
            raise Failed(
                f"the report needs {error.name}, which is not installed; install it with "
                "pip install 'widthwise[report]'"
            ) from error
    if as_json:
        _print_json({"report": str(written), "spec_hash": study.spec.hash})
    else:
        print(f"Report: {written}")
    return DONE


def _opened(directory: Path) -> "Study":
    prepare_jax()
    from widthwise.experiments.study import Study

    with _bad_input():
        return Study.open(directory)


def _compute(
    study: "Study", output: Path, kind: str | None, workers: int | None, *, as_json: bool
) -> int:
    from widthwise.experiments.execute import executor, shown
    from widthwise.experiments.execute.executor import ExecutionError
    from widthwise.experiments.store.errors import StoreError

    people = Console(stderr=as_json, highlight=False, markup=False, soft_wrap=True)
    with _bad_input():
        chosen: Any = kind
        if workers is not None:
            said = study.spec.executor
            options = said.options if kind in (None, said.kind) else {}
            chosen = executor(kind or said.kind, **options | {"workers": workers})
        try:
            with shown() as progress:
                done = study.run(output, chosen, progress=progress)
        except (ExecutionError, StoreError) as error:
            raise Failed(str(error)) from error
        except ImportError as error:
            raise Failed(str(error)) from error
        state = done.status()
    people.print(str(state))
    if state.complete:
        people.print(f"\nResults: {output}  (widthwise report {output})")
    else:
        people.print(f"\nThe time of the budget is spent; go on with: widthwise resume {output}")
    if as_json:
        _print_json({"directory": str(output), **_values(state)})
    return DONE


def _say(found: Any, *, as_json: bool, **more: tuple[str, ...]) -> int:
    if as_json:
        _print_json(_values(found) | more)
    else:
        print("\n".join([str(found), *(f"  {line}" for lines in more.values() for line in lines)]))
    return DONE


def _values(found: Any) -> dict[str, Any]:
    """A plan or a status for programs."""
    totals = {name: getattr(found, name) for name in ("jobs", "done")}
    more = [name for name in ("complete", "seconds", "memory") if hasattr(found, name)]
    return asdict(found) | totals | {name: getattr(found, name) for name in more}


def _print_json(value: Any) -> None:
    print(json_module.dumps(plain(value), ensure_ascii=False, allow_nan=False))


@contextlib.contextmanager
def _bad_input() -> Iterator[None]:
    """What the user gave and cannot be used ends with exit code 2."""
    try:
        yield
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(str(error)) from error
