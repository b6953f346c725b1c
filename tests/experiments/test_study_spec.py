"""A study over a grid is read whole, and 1,000 broken files are each refused in one sentence."""

import contextlib
import io
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from widthwise.experiments.quantities import QUANTITIES, compute
from widthwise.experiments.quantities.payload import parse, request
from widthwise.experiments.spec import GridPoint, Spec, SpecError, StudySpec
from widthwise.experiments.spec.study import QUANTITY_NAMES, STUDY_SECTIONS
from widthwise.show import cli

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "studies").glob("*.toml"))

GOOD = """
title = "Laws and widths"
seed = 3
[data]
name = "blobs"
train = 4
test = 2
[network]
activation = "tanh"
weight_std = 1.5
[training]
times = [0.0, 1.0]
[compute]
quantities = ["limit_kernels", "ensemble"]
block = 32
[budget]
members = 64
[grid]
width = [16, 32]
weight_law = ["gaussian", {name = "student_t", df = 9}]
[zip]
depth = [1, 2]
data.seed = [5, 6]
"""


def spec_of(text: str) -> StudySpec:
    return StudySpec.from_text(text)


def wrong(text: str) -> dict[str, tuple[str | None, str]]:
    with pytest.raises(SpecError) as caught:
        spec_of(text)
    return {p.path: (p.received, p.remedy) for p in caught.value.problems}


# What a good file becomes. ------------------------------------------------------------------------


def test_axes_and_points():
    spec = spec_of(GOOD)
    assert [axis.dimension for axis in spec.axes] == ["width", "law", "depth"]
    points = list(spec.points())
    assert len(points) == 8
    place, last = points[-1]
    assert place == (1, 1, 1)
    assert (last.network.width, last.network.depth, last.data.seed) == (32, 2, 6)
    assert [law.name for law in last.network.weight_law] == ["student_t(9)"] * 3
    assert last.network.weight_std == (1.5,) * 3
    assert last.seed == 3
    assert (spec.network.width, spec.network.depth) == (16, 1)  # the spec is its first point


def test_file_written_out_is_the_same_study():
    spec = spec_of(GOOD)
    again = spec_of(spec.to_toml())
    assert again.to_toml() == spec.to_toml()
    assert again.hash == spec.hash
    assert [p for _, p in again.points()] == [p for _, p in spec.points()]


def test_hash_names_the_content():
    spec = spec_of(GOOD)
    reordered = GOOD.replace('title = "Laws and widths"\n', "").replace(
        "[budget]\nmembers = 64", ""
    )
    assert spec_of(reordered + "[budget]\nmembers = 64\n").hash == spec.hash
    assert spec_of(GOOD + '[executor]\nkind = "local"\n').hash == spec.hash
    for old, new in (("seed = 3", "seed = 4"), ("[16, 32]", "[16, 64]"), ("= 64", "= 96")):
        assert spec_of(GOOD.replace(old, new)).hash != spec.hash


def test_frozen():
    with pytest.raises(ValueError, match="frozen"):
        spec_of(GOOD).seed = 4


def test_every_quantity_is_known_and_reads_fields_that_exist():
    assert set(QUANTITIES) == set(QUANTITY_NAMES)
    plain = spec_of(GOOD).plain()
    for quantity in QUANTITIES.values():
        for path in quantity.reads:
            section, _, field = path.rpartition(".")
            assert field in (plain[section] if section else plain)


def test_point_hash_ignores_what_a_quantity_does_not_read():
    def name(text, quantity="ensemble", place=(0, 0, 0)):
        spec = spec_of(text)
        asked = request(spec.at(place), quantity, QUANTITIES[quantity].reads, Path())
        assert parse(asked.text) == asked
        return asked.hash

    same = [GOOD, GOOD.replace("members = 64", "members = 96"),
            GOOD.replace("[16, 32]", "[16, 99]"),
            GOOD.replace('["limit_kernels", "ensemble"]', '["ensemble", "edgeworth"]')]  # fmt: skip
    assert len({name(text) for text in same}) == 1
    assert name(GOOD.replace("seed = 3", "seed = 4")) != name(GOOD)
    assert name(GOOD, place=(1, 0, 0)) != name(GOOD)
    kernels = {name(GOOD, "limit_kernels", (i, 0, 0)) for i in range(2)}
    assert len(kernels) == 1  # kernels know no width


def test_payload_says_everything():
    spec = spec_of(GOOD)
    asked = request(spec, "ensemble", QUANTITIES["ensemble"].reads, Path())
    point = parse(asked.text).point
    assert isinstance(point, GridPoint)
    assert (point.network, point.training, point.data) == (spec.network, spec.training, spec.data)
    with pytest.raises(ValueError, match=r"take jobs from Study\.jobs"):
        compute("no payload")


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_shipped_studies_are_right(file):
    spec = StudySpec.from_toml(file)
    assert spec.axes
    assert spec_of(spec.to_toml()).hash == spec.hash


def test_there_are_four_claims_small_and_large():
    names = {file.stem for file in EXAMPLES}
    assert len(names) == 8
    assert {name.rpartition("_")[2] for name in names} == {"small", "large"}


# What is wrong is said. ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "path", "received", "remedy"),
    [
        ("[16, 32]", "[16, 32.5]", "grid.width[1]", "32.5", "a whole number of neurons"),
        ("[16, 32]", "[16, 16]", "grid.width", "[16, 16]", "twice"),
        ("[16, 32]", "[]", "grid.width", "[]", "at least one value"),
        ("[16, 32]", "16", "grid.width", "16", "a list"),
        ("width =", "wdth =", "grid.wdth", "[16, 32]", "did you mean width?"),
        ("depth = [1, 2]", "depth = [1]", "zip", None, "one length"),
        ("depth = [1, 2]", "width = [1, 2]", "zip.width", "[1, 2]", "varies already"),
        ("df = 9", "df = 3.5", "grid.weight_law[1]", None, "moments up to"),
        ("df = 9", "df = -1", "grid.weight_law[1]", None, "df"),
        ("= 1.5", "= [1.5, 1.0]", "network.weight_std", "[1.5, 1.0]", "depth + 1 = 3"),
        ("= 64", "= 65", "budget.members", "65", "a multiple of block = 32"),
        ('"ensemble"]', '"ensembles"]', "compute.quantities[1]", '"ensembles"', "ensemble"),
        ("seed = 3", "seed = -3", "seed", "-3", "0 to 4294967295"),
        ('"blobs"', '"blob"', "data.name", '"blob"', "one of digits"),
        ("= 1.5", "= 1.5\nwidth = 4", "network.width", "4", "varies in grid.width"),
        ("test = 2", "inputs = 1", "data.inputs", "1", "from 2"),
    ],
)
def test_wrong_fields_are_named(old, new, path, received, remedy):
    assert old in GOOD
    found = wrong(GOOD.replace(old, new))
    assert path in found
    assert received is None or found[path][0] == received
    assert remedy in found[path][1]


@pytest.mark.parametrize(
    ("more", "path", "remedy"),
    [
        ('[executor]\nkind = "scheduler"', "executor.address", "needs address"),
        ('[executor]\nkind = "slurm"', "executor.interface", "network of the nodes"),
        ('[executor]\nqueue = "gpu"', "executor.queue", 'belongs to kind = "slurm"'),
        ("[executor]\nworkers = 2", "executor.workers", '"threads" or "local"'),
        ('[executor]\nprologue = "rm x"', "executor.prologue", "unknown field"),
        ("[training]\nstep = 0.1", None, "cannot declare"),
    ],
)
def test_sections_without_influence_are_checked_too(more, path, remedy):
    found = wrong(GOOD + more)
    assert any((path is None or p == path) and remedy in text.lower() + text
               for p, (_, text) in found.items())  # fmt: skip


def test_grid_has_a_limit():
    many = "seed = [" + ", ".join(map(str, range(200))) + "]"
    found = wrong(GOOD.replace("[grid]", f"[grid]\n{many}\ntrain = {list(range(4, 74))}"))
    assert "at most 20000" in found["grid"][1]


# A thousand broken files. -------------------------------------------------------------------------

FIELDS = [(s, f) for s, model in STUDY_SECTIONS.items() for f in model.model_fields]
NO_VALUE_OF_ANY = ["{a = 1}", "[[1], [2]]", "1979-05-27", "-inf", "nan", '[{name = "x"}]', '""']
SYNTAX = ["= 3", "[data", "a = [1, 2", 'b = "open', "c = 01", "[data]\n[data]", "\x00", "d = 1 2",
          "e = " + "[" * 300, "f = 1e", "= ", "[grid.]", "g..h = 1", 'i = "\\q"']  # fmt: skip


@st.composite
def broken(draw) -> tuple[str, str]:
    """A file with one thing wrong, and what a message about it has to hold."""
    kind = draw(st.sampled_from(["syntax", "value", "unknown", "section", "grid", "missing"]))
    if kind == "syntax":
        lines = GOOD.splitlines()
        at = draw(st.integers(0, len(lines)))
        bad = draw(st.sampled_from(SYNTAX))
        return "\n".join([*lines[:at], bad, *lines[at:]]), ""
    if kind == "unknown":
        name = draw(st.from_regex(r"[a-z]{3,12}_q", fullmatch=True))
        section = draw(st.sampled_from([*STUDY_SECTIONS, "grid", "zip"]))
        value = draw(st.integers(-9, 9))
        return _with(section, name, f"[{value}]"), f"{section}.{name}"
    if kind == "section":
        name = draw(st.from_regex(r"[a-z]{3,12}_q", fullmatch=True))
        return f"{GOOD}\n[{name}]\nx = {draw(st.integers())}\n", name
    if kind == "missing":
        section = draw(st.sampled_from(["data", "compute"]))
        head, _, tail = GOOD.partition(f"[{section}]\n")
        return head + "[" + tail.partition("\n[")[2], section
    section, field = draw(st.sampled_from(FIELDS))
    bad = draw(st.sampled_from(NO_VALUE_OF_ANY))
    if kind == "grid" and section in ("data", "network", "training", "compute"):
        if (section, field) in (("network", "width"), ("network", "weight_law")):
            return GOOD.replace("width = [16, 32]", f"width = [16, {bad}]"), "grid.width[1]"
        return _with("grid", f"{section}.{field}", f"[{bad}]"), f"grid.{section}.{field}"
    return _with(section, field, bad), f"{section}.{field}"


def _with(section: str, name: str, value: str) -> str:
    """The good file with one line more, or another one, in a section."""
    parts = dict(_sections(GOOD))
    lines = parts.setdefault(section, [])
    parts[section] = [line for line in lines if line.partition(" =")[0] != name]
    parts[section].append(f"{name} = {value}")
    top = "\n".join(parts.pop("", []))
    return top + "\n" + "\n".join(f"[{s}]\n" + "\n".join(ls) for s, ls in parts.items()) + "\n"


def _sections(text: str):
    name, found = "", {}
    for line in filter(None, text.splitlines()):
        if line.startswith("["):
            name = line.strip("[]")
            found[name] = []
        else:
            found.setdefault(name, []).append(line)
    return found.items()


def refused(text: str, folder: Path) -> str:
    """What the command line says about a file; exit code 2, one message, nothing written."""
    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8", newline="")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main(["run", str(file), "--output", str(folder / "runs")])
    said = err.getvalue()
    assert code == 2, (code, said, text)
    assert out.getvalue() == ""
    assert said.startswith("widthwise: ")
    assert "Traceback" not in said
    assert "to correct" in said
    assert sorted(p.name for p in folder.iterdir()) == ["study.toml"]
    return said


@settings(max_examples=250)
@given(case=broken())
def test_broken_files(tmp_path_factory, case):
    is_refused_in_one_sentence(tmp_path_factory, *case)


@pytest.mark.slow
@settings(max_examples=1000)
@given(case=broken())
def test_a_thousand_broken_files(tmp_path_factory, case):
    is_refused_in_one_sentence(tmp_path_factory, *case)


def is_refused_in_one_sentence(tmp_path_factory, text: str, place: str) -> None:
    said = refused(text, _folder(tmp_path_factory))
    assert place in said, (place, said)
    remedies = [line for line in said.splitlines()[1:] if line.startswith("      ")]
    assert place == "" or remedies, said


_FOLDERS: dict[str, Path] = {}


def _folder(factory) -> Path:
    return _FOLDERS.setdefault("one", factory.mktemp("fuzz"))


@settings(max_examples=300)
@given(noise=st.text(max_size=60), at=st.integers(0, len(GOOD)))
def test_noise_in_a_file_never_ends_in_a_traceback(tmp_path_factory, noise, at):
    text = GOOD[:at] + noise + GOOD[at:]
    with contextlib.suppress(SpecError):
        StudySpec.from_text(text)


def test_values_of_fields_are_shown(tmp_path):
    said = refused(GOOD.replace("width = [16, 32]", "width = [16, -7]"), tmp_path)
    assert "grid.width[1] = -7" in said
    assert "from 1 to" in said


def test_json_of_a_plan(tmp_path, capsys, monkeypatch):
    file = tmp_path / "study.toml"
    file.write_text(GOOD.replace('"limit_kernels", "ensemble"', '"limit_kernels"'))
    monkeypatch.setattr("widthwise.experiments.studies.plan.PATIENCE", 0.0)
    assert cli.main(["run", str(file), "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # 2 laws x 2 depths; kernels know no width
    assert (found["jobs"], found["done"]) == (4, 0)
    assert list(itertools.chain(*(p.iterdir() for p in [tmp_path]))) == [file]


def test_a_study_of_the_other_kind_is_sent_to_its_command(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text('[compute]\nquantities = ["limit_kernels"]\n')
    with pytest.raises(SpecError, match=r"study over a grid; use: widthwise run .*study\.toml"):
        Spec.from_toml(path)
    path.write_text("[study]\nwidths = [32]\n")
    with pytest.raises(SpecError, match=r"in one report; use: widthwise report .*study\.toml"):
        StudySpec.from_toml(path)
