"""A study: theory and simulation asked the same questions over a grid, kept in a directory.

    study = Study.from_toml("study.toml")        what to ask
    study.plan()                                 what that costs
    study.run("runs/a")                          computes what the directory lacks
    Study.open("runs/a").results()               labelled arrays

A run may be killed at any moment and continued; a study with more networks, widths or seeds may be
run into the same directory and computes only what is new.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from widthwise.experiments.execute import Executor, Progress, executor, run_jobs
from widthwise.experiments.execute.single_thread import one_thread
from widthwise.experiments.jobs import Job
from widthwise.experiments.quantities import compute
from widthwise.experiments.quantities.setting import setting
from widthwise.experiments.spec import StudySpec
from widthwise.experiments.store import Store, provenance
from widthwise.experiments.studies import history, results, status
from widthwise.experiments.studies import plan as plans
from widthwise.experiments.studies.asked import Asked, questions
from widthwise.experiments.studies.export import export

if TYPE_CHECKING:
    import xarray as xr

Report = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Study:
    """A study; make it by :meth:`from_toml`, or :meth:`open` one that was run.

    Args:
        spec: what is asked.
        base_folder: where relative paths of data files start.
        directory: where its results are, or ``None`` before it was run.
        files: data file → hash of the content it had when the study was run.

    Example:
        >>> import tempfile
        >>> from widthwise.experiments.study import Study
        >>> data, ask = {"name": "iris", "train": 4}, {"quantities": ["limit_kernels"]}
        >>> grid = {"activation": ["relu", "erf"]}
        >>> study = Study.from_mapping({"data": data, "compute": ask, "grid": grid})
        >>> done = study.run(tempfile.mkdtemp())
        >>> dict(done.results()["limit_kernels"].sizes)
        {'activation': 2, 'point': 8, 'point2': 8, 'mode': 4}
    """

    spec: StudySpec
    base_folder: Path = Path()
    directory: Path | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_toml(cls, path: str | Path) -> "Study":
        """The study a TOML file describes.

        Raises:
            SpecError: the file cannot be read, or fields are wrong: all of them at once.
        """
        path = Path(path)
        return cls(StudySpec.from_toml(path), path.absolute().parent)

    @classmethod
    def from_mapping(cls, mapping: dict[str, Any]) -> "Study":
        """The study a mapping describes, laid out like the TOML file.

        Raises:
            SpecError: fields are wrong: all of them at once.
        """
        return cls(StudySpec.from_mapping(mapping), Path.cwd())

    @classmethod
    def open(cls, directory: str | Path) -> "Study":
        """The study whose results a directory holds.

        Raises:
            ValueError: if the directory is no study.
        """
        store = Store.open(directory)
        spec = StudySpec.from_text(store.spec, source=f"the spec in {directory}")
        base = history.project(store, Path(directory).absolute())
        return cls(spec, base, Path(directory), history.recorded(store))

    # What is asked. -------------------------------------------------------------------------------

    @cached_property
    def asked(self) -> tuple[Asked, ...]:
        """Quantity by quantity, what is asked where."""
        kept = None if self.directory is None else self.directory.absolute() / history.KEPT
        return questions(self.spec, self.base_folder, self.files, kept)

    def jobs(self) -> tuple[Job, ...]:
        """All jobs, each once."""
        return tuple(job for asked in self.asked for job in asked.jobs())

    def check(self) -> None:
        """Load all data and look at the budget, before anything is computed or written.

        Raises:
            ValueError: if data cannot be read or used, or a job needs more memory than the budget.
        """
        seen: set[str] = set()
        for asked in self.asked:
            for request in asked.requests.values():
                fields = {k: v for k, v in request.fields.items() if k != "seed"}
                network = {k: v for k, v in fields["network"].items() if k not in _NO_SIZE}
                size = repr((asked.quantity.name, {**fields, "network": network}))
                if size in seen:
                    continue
                seen.add(size)
                place, point = setting(request), request.point
                need = asked.quantity.memory(place, point.compute.block)
                if need > self.spec.budget.memory:
                    remedy = "raise memory, or take fewer points or times"
                    if asked.quantity.memory(place, 1) <= self.spec.budget.memory:
                        remedy = "lower block in [compute], or raise memory"
                    elif asked.quantity.sampled:
                        remedy = (
                            f"raise memory, or lower width = {place.width}: a block of one network "
                            "takes more than that already"
                        )
                    raise ValueError(
                        f"budget.memory = {self.spec.budget.memory:g}: a job of "
                        f"{asked.quantity.name} takes about {need:.1e} bytes; {remedy}"
                    )

    def plan(self, output: str | Path | None = None, *, calibrate: bool = True) -> plans.Plan:
        """What a run would do: jobs, time and memory, and what is done already; writes nothing.

        Args:
            output: the directory it would write; by default that of the study.
            calibrate: whether to try the cheapest jobs for an estimate of the time.

        Returns:
            :class:`~widthwise.experiments.studies.plan.Plan`; ``str()`` is a table.

        Raises:
            ValueError: if data cannot be used, the directory holds another study or something
                else, or is a file.
        """
        directory = self.directory if output is None else Path(output)
        store = None
        if directory is not None and (directory / "store.json").exists():
            store = Store.open(directory)
            self._continues(store)
        elif directory is not None:
            Store(directory).refuse_occupied()
        budget = self.spec.budget
        return plans.plan(
            self.spec.title,
            self.spec.hash,
            self.asked,
            store,
            (budget.seconds, budget.memory),
            calibrate=calibrate,
        )

    # What is computed. ----------------------------------------------------------------------------

    def run(
        self,
        output: str | Path | None = None,
        executor: "str | Executor | None" = None,
        *,
        progress: Report | None = None,
    ) -> "Study":
        """Compute what the directory lacks.

        Args:
            output: a new directory, that of this study, or that of a study of which this one asks
                at least as much; by default that of :meth:`open`.
            executor: a kind, or what :func:`widthwise.experiments.execute.executor` returns; by
                default that of the spec.
            progress: called with a :class:`~widthwise.experiments.execute.Progress`.

        Returns:
            The study with its directory.

        Raises:
            ValueError: if data cannot be used, or the directory holds another study.
            ExecutionError: at the end, if jobs failed: all others are stored.
            StoreError: if the directory cannot be written.
            KeyboardInterrupt: after Ctrl-C; the message says how to go on.
        """
        directory = self.directory if output is None else Path(output)
        if directory is None:
            raise ValueError("output must name the directory for results, got None")
        self.check()
        where = self._executor(executor)
        store = self._store(directory)
        made = replace(self, directory=directory, files=history.recorded(store))
        history.keep_points(made.asked, store)
        run_jobs(
            self.jobs(),
            compute,
            store,
            where,
            progress=progress,
            seconds=self.spec.budget.seconds,
            by_name=bool(made.files),  # a data file may lie elsewhere now: its content counts
            note="; ".join(made.software_changes),
        )
        return made

    def _executor(self, given: "str | Executor | None") -> Executor:
        chosen = self.spec.executor
        if given is None or given == chosen.kind:
            return executor(chosen.kind, **chosen.options)
        return executor(given) if isinstance(given, str) else given

    def _store(self, directory: Path) -> Store:
        """The store in a directory: made, opened, or extended."""
        spec = self.spec.with_paths(self.base_folder).to_toml()
        with one_thread():  # as jobs compute: the bits of linear algebra are recorded
            found = provenance(self.base_folder)
        found |= {"spec_hash": self.spec.hash, "project": str(self.base_folder.absolute())}
        came_from = history.with_files(found, self.asked)
        if not (directory / "store.json").exists():
            return Store.create(directory, spec=spec, provenance=came_from)
        store = Store.open(directory)
        self._continues(store)
        store.extend(spec)
        store.record(came_from)
        return store

    def _continues(self, store: Store) -> None:
        """Refuse a store of which this study does not ask all, of the same data."""
        history.refuse_changed(self.asked, store)
        spec = self.spec.with_paths(self.base_folder)
        if store.spec == spec.to_toml():
            return
        old = Study.open(store.directory)
        lost = {job.name for job in old.jobs()} - {job.name for job in self.jobs()}
        if lost:
            raise ValueError(
                f"--output {store.directory} holds another study: {len(lost)} of its "
                f"{len(old.jobs())} jobs are not asked here ({_difference(old.spec, spec)}); "
                "give another directory, or extend the old spec and leave its fields as they are"
            )

    # What is known. -------------------------------------------------------------------------------

    def results(self) -> "xr.DataTree":
        """All results so far: an ``xarray.DataTree`` with one data set per quantity.

        Raises:
            ValueError: for a study that was not run.
            ImportError: without xarray.
        """
        attributes = {"title": self.spec.title, "spec_hash": self.spec.hash}
        return results.tree(self.asked, self._opened, attributes)

    def status(self) -> status.Status:
        """How far the study is; ``str()`` says it in lines."""
        return status.status(self.spec.title, self.spec.hash, self.asked, self._opened)

    def export(self, directory: str | Path, format: str = "netcdf") -> tuple[Path, ...]:
        """Write the results as files: ``"netcdf"``, ``"csv"`` or ``"parquet"``.

        Raises:
            ValueError: for a format that is unknown or whose library is not installed.
        """
        return export(self.results(), Path(directory), format)

    def report(self, path: str | Path) -> Path:
        """Write one HTML page about the results.

        Raises:
            ImportError: without plotly.
        """
        # pages stand a floor above: they know studies, studies find them by name
        page = importlib.import_module("widthwise.show.study_report")
        return page.write_study_report(self, path)

    @property
    def provenance(self) -> tuple[dict[str, str], ...]:
        """What computed the results, oldest first."""
        return self._opened.provenance

    @property
    def software_changes(self) -> tuple[str, ...]:
        """In words: changes of widthwise, JAX or arithmetic from one run to the next."""
        return history.changed_software(self.provenance)

    @property
    def _opened(self) -> Store:
        if self.directory is None:
            raise ValueError("this study was not run yet; call run(output) first")
        return Store.open(self.directory)


_NO_SIZE = ("activation", "weight_law", "bias_law", "weight_std", "bias_std")
"""Fields of a network on which neither its data nor its size depend."""


def _difference(old: StudySpec, new: StudySpec) -> str:
    """Sections in which two specs differ, in words."""
    a, b = old.to_toml().splitlines(), new.to_toml().splitlines()
    gone = [line for line in a if line and line not in b]
    return f"the old spec says {gone[0]}" if gone else "the grid is smaller"
