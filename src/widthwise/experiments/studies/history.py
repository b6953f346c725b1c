"""What the directory of a study says about the runs before: data files, software, project.

The provenance of every run holds, besides versions and host, one line ``data <path>`` per data file
with the hash of its content, and ``project``, the folder where the spec came from.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from widthwise.experiments.data.kept import written
from widthwise.experiments.quantities.payload import content
from widthwise.experiments.quantities.setting import setting
from widthwise.experiments.store import Store
from widthwise.experiments.studies.asked import Asked

KEPT = "points"
"""The folder in a study's directory with the points that were drawn from data files."""

_FILE = "data "
_SOFTWARE = ("widthwise", "jax", "arithmetic")
_WORDS = {"arithmetic": "the arithmetic of the host (a digest of rounded results)"}


def files(asked: Sequence[Asked]) -> dict[str, str]:
    """Data file → hash of its content, as a study asks for them."""
    return dict(r.file for each in asked for r in each.requests.values() if r.file is not None)


def with_files(provenance: Mapping[str, str], asked: Sequence[Asked]) -> dict[str, str]:
    """The provenance of a run, with the data files it reads."""
    return {**provenance, **{_FILE + path: sha for path, sha in files(asked).items()}}


def recorded(store: Store) -> dict[str, str]:
    """Data file → hash of the content it had when the study was run."""
    lines = (line for entry in store.provenance for line in entry.items())
    return {key.removeprefix(_FILE): sha for key, sha in lines if key.startswith(_FILE)}


def project(store: Store, default: Path) -> Path:
    """The folder where the spec came from."""
    named = [entry["project"] for entry in store.provenance if "project" in entry]
    return Path(named[-1]) if named else default


def refuse_changed(asked: Sequence[Asked], store: Store) -> None:
    """Data files must be what they were when the study was run.

    Raises:
        ValueError: for a file whose content changed, and for one that is not there while jobs are
            left that need it.
    """
    was, names = recorded(store), None
    for path, sha in files(asked).items():
        try:
            now = content(path)
        except ValueError as error:
            names = set(store.names()) if names is None else names
            if all(job.name in names for each in asked for job in each.jobs()):
                continue
            raise ValueError(
                f"{error}; to go on with a file that was moved, put its new path into the spec and "
                f"run that with --output {store.directory}"
            ) from error
        if now != was.get(path, sha):
            raise ValueError(
                f"{path} changed since the study in {store.directory} was run (its content has "
                "another hash); put the old file back, or run the study into a new directory"
            )


def keep_points(asked: Sequence[Asked], store: Store) -> None:
    """Keep the points that were drawn from files, so that results can be read without these."""
    for each in asked:
        for request in each.requests.values():
            path = request.kept_points
            if path is not None and not path.exists():
                store.attach(f"{KEPT}/{path.name}", written(setting(request).dataset))


def changed_software(entries: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """In words: what of widthwise, JAX and arithmetic changed from one run to the next."""
    said = []
    for old, new in pairwise(entries):
        for name in _SOFTWARE:
            if name in old and name in new and old[name] != new[name]:
                what = _WORDS.get(name, name)
                said.append(
                    f"{what} changed from {old[name]} to {new[name]}: blocks stored before were "
                    "computed with the old one and are not computed again"
                )
    return tuple(dict.fromkeys(said))
