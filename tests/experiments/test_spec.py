"""A spec is read whole, named by its content, and every wrong field is said at once."""

import textwrap
from pathlib import Path

import pytest

from widthwise.experiments.spec import Spec, SpecError

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "src" / "widthwise" / "experiments" / "demo.toml"
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))

COMPLETE = """
title = "Diabetes, tanh"
seed = 3
[data]
name = "diabetes"
train = 16
test = 4
standardize = true
[network]
depth = 1
activation = "tanh"
weight_std = 1.5
bias_std = [0.3, 0.0]
weight_law = [{name = "student_t", df = 9}, "uniform"]
bias_law = "uniform"
ratios = [2.0]
parametrization = "standard"
[study]
widths = [32, 64]
members = 10
initial_members = 100
times = [0, 0.5, 2]
method = "flow"
tolerance = 1e-5
point = 3
order = 2
"""


def spec_of(tmp_path: Path, text: str) -> Spec:
    file = tmp_path / "study.toml"
    file.write_text(textwrap.dedent(text), encoding="utf-8")
    return Spec.from_toml(file)


def wrong(tmp_path: Path, text: str) -> dict[str, tuple[str | None, str]]:
    """Path → (received, remedy) of everything that is wrong with a file."""
    with pytest.raises(SpecError) as caught:
        spec_of(tmp_path, text)
    for problem in caught.value.problems:
        assert problem.path in str(caught.value)
        assert problem.remedy in str(caught.value)
        assert problem.received is None or problem.received in str(caught.value)
    paths = [problem.path for problem in caught.value.problems]
    assert len(paths) == len(set(paths))
    return {p.path: (p.received, p.remedy) for p in caught.value.problems}


# What a good file becomes. ------------------------------------------------------------------------


def test_every_field_is_read(tmp_path):
    spec = spec_of(tmp_path, COMPLETE)
    assert (spec.title, spec.seed, spec.data.name) == ("Diabetes, tanh", 3, "diabetes")
    assert spec.network.weight_std == (1.5, 1.5)
    assert spec.network.bias_std == (0.3, 0.0)
    assert [law.name for law in spec.network.weight_law] == ["student_t(9)", "uniform"]
    assert spec.study.widths == (32, 64)
    assert spec.study.times == (0.0, 0.5, 2.0)
    net = spec.network(outputs=2)
    assert (net.depth, net.outputs, net.ratios, net.parametrization) == (1, 2, (2.0,), "standard")
    assert net.weight_law == spec.network.weight_law
    assert net.activation.name == "tanh"


def test_short_file_gets_every_default(tmp_path):
    spec = spec_of(tmp_path, '[data]\nname = "wine"\n[network]\ndepth = 2\n')
    assert spec.title == "wine: relu, depth 2"
    assert spec.network.weight_std == (1.0, 1.0, 1.0)
    assert spec.network.ratios == (1.0, 1.0)
    assert spec.study.times == (0.0, 0.5, 1.0, 2.0)


def test_descent_counts_steps(tmp_path):
    spec = spec_of(tmp_path, '[data]\nname = "wine"\n[study]\nmethod = "descent"\nstep = 0.1\n')
    assert (spec.study.step, spec.study.times) == (0.1, (0.0, 10.0, 100.0))
    assert "gradient descent, step 0.1, up to 100 steps" in spec.describe()[1]


def test_frozen_hashable_and_the_same_after_json(tmp_path):
    spec = spec_of(tmp_path, COMPLETE)
    assert Spec.from_mapping(spec.model_dump(mode="json")) == spec
    assert len({spec, spec_of(tmp_path, COMPLETE)}) == 1
    with pytest.raises(ValueError, match="frozen"):
        spec.seed = 4


def test_content_hash_names_the_content(tmp_path):
    spec = spec_of(tmp_path, COMPLETE)
    assert len(spec.hash) == 12
    assert int(spec.hash, 16) >= 0
    same = COMPLETE.replace("Diabetes, tanh", "Another title").replace("1e-5", "0.00001")
    same = same.replace("weight_std = 1.5\n", "").replace(
        "[network]", "[network]\nweight_std = [1.5, 1.5]"
    )
    assert spec_of(tmp_path, same).hash == spec.hash
    for old, new in [("seed = 3", "seed = 4"), ("df = 9", "df = 10"), ("[32, 64]", "[32, 65]")]:
        assert spec_of(tmp_path, COMPLETE.replace(old, new)).hash != spec.hash


def test_content_hash_is_the_same_everywhere():
    # a new field or another default makes a new study: then this changes, knowingly
    assert Spec.from_mapping({"data": {"name": "diabetes"}}).hash == "785b7bac37dc"


@pytest.mark.parametrize("file", [DEMO, *EXAMPLES], ids=lambda file: file.stem)
def test_shipped_studies_are_right(file):
    spec = Spec.from_toml(file)
    assert spec.network(outputs=1).depth == spec.network.depth
    assert len(EXAMPLES) >= 2


def test_description_says_network_and_study(tmp_path):
    text = "\n".join(spec_of(tmp_path, COMPLETE).describe())
    for words in (
        "1 hidden layer, tanh",
        "weight_std 1.5, bias_std 0.3/0",
        "student_t(9)/uniform weights, uniform biases",
        "standard parametrization",
        "hidden widths n times 2",
        "n = 32, 64",
        "seed 3",
    ):
        assert words in text


# What a bad file gets to hear. --------------------------------------------------------------------


def test_everything_wrong_is_said_at_once(tmp_path):
    found = wrong(
        tmp_path,
        """
        seed = -1
        tittle = "x"
        members = 3
        [data]
        name = "digitz"
        classes = [3, 3.5]
        train = "16"
        [network]
        activation = "tanhh"
        weight_std = -1
        bias_std = [0.1, 0.2, -0.3]
        weight_law = {name = "student_t", df = 5}
        bias_law = ["gauss", "normal"]
        ratios = [1.0, 2.0]
        parametrisation = "ntk"
        [study]
        widths = [32, 64, 0]
        times = [1.0, 0.5, -2.0]
        method = "descent"
        point = 7
        tolerance = nan
        seed = 4
        """,
    )
    expected = {
        "seed": ("-1", "a whole number from 0 to"),
        "tittle": ('"x"', "did you mean title?"),
        "members": ("3", "does not belong to the top of the file but to [study]"),
        "data.name": ('"digitz"', "one of digits, diabetes, breast_cancer, wine"),
        "data.classes[1]": ("3.5", "at least two different classes"),
        "data.train": ('"16"', "a whole number of train points, at least 2"),
        "network.activation": ('"tanhh"', "known are identity, relu"),
        "network.weight_std": ("-1", "a number above 0, or a list of depth + 1"),
        "network.bias_std[2]": ("-0.3", "a number of at least 0"),
        "network.bias_law[0]": ('"gauss"', "accepted names: gaussian, uniform"),
        "network.weight_law": ('{name = "student_t", df = 5}', "needs moments up to 6"),
        "network.ratios": ("[1.0, 2.0]", "accepted: depth = 1 of them"),
        "network.parametrisation": ('"ntk"', "did you mean parametrization?"),
        "study.widths[2]": ("0", "increasing whole numbers of at least 1"),
        "study.times[2]": ("-2.0", "increasing numbers of at least 0"),
        "study.step": (None, 'method = "descent" needs a step, such as step = 0.1'),
        "study.point": ("7", "data.test = 4, accepted: 0 to 3"),
        "study.tolerance": ("nan", "a number between 0 and 1"),
        "study.seed": ("4", "does not belong to [study] but to the top of the file"),
    }
    assert found.keys() == expected.keys()
    for path, (received, remedy) in expected.items():
        assert found[path][0] == received, path
        assert remedy in found[path][1], path


@pytest.mark.parametrize(
    ("text", "path", "received", "remedy"),
    [
        ("title = 'x'", "data", None, 'is missing; add a table [data] with name = "diabetes"'),
        ("data = 3", "data", "3", 'accepted: a table [data] with name = "diabetes"'),
        ("[data]\ntrain = 4", "data", None, "says no data: add name = one of digits"),
        ("[data]\nname = 'wine'\npath = 'a.csv'", "data.path", '"a.csv"', "keep one of them"),
        ("[data]\npath = 'a.xlsx'", "data.path", '"a.xlsx"', "must end in .csv, .npz or .parquet"),
        ("[data]\nname = 'wine'\ntarget = 'y'", "data.target", '"y"', "remove this line"),
        (
            "[data]\nname = 'diabetes'\nclasses = [1, 2]",
            "data.classes",
            "[1, 2]",
            "is a regression",
        ),
        ("[data]\nname = 'digits'\nclasses = [3]", "data.classes", "[3]", "at least two different"),
        (
            "[data]\nname = 'digits'\nclasses = [3, 3]",
            "data.classes",
            "[3, 3]",
            "names a class twice",
        ),
        (
            "[data]\nname = 'digits'\nclasses = [1, 2, 3]\ntrain = 2",
            "data.train",
            "2",
            "fewer than the 3 classes",
        ),
        ("[data]\nname = 'wine'\ntest = 0", "data.test", "0", "test points, at least 1"),
        ("[data]\nname = 'wine'\nstandardize = 'yes'", "data.standardize", '"yes"', "or false"),
    ],
)
def test_data_section(tmp_path, text, path, received, remedy):
    found = wrong(tmp_path, text)
    assert list(found) == [path]
    assert found[path][0] == received
    assert remedy in found[path][1]


@pytest.mark.parametrize(
    ("text", "path", "received", "remedy"),
    [
        ("depth = 0", "network.depth", "0", "hidden layers, from 1 to 1000"),
        ("depth = true", "network.depth", "true", "hidden layers, from 1 to 1000"),
        ("activation = 3", "network.activation", "3", "the name of an activation"),
        ("weight_std = [1.0]", "network.weight_std", "[1.0]", "depth + 1 = 2 of them"),
        ("weight_std = [1.0, 'a']", "network.weight_std[1]", '"a"', "a number above 0"),
        ("bias_std = inf", "network.bias_std", "inf", "a number of at least 0"),
        ("weight_law = 3", "network.weight_law", "3", "accepted names: gaussian"),
        (
            "weight_law = {name = 'student_t'}",
            "network.weight_law",
            '{name = "student_t"}',
            "needs the parameter df, got {name = 'student_t'}",
        ),
        (
            "weight_law = {name = 'student_t', df = 1}",
            "network.weight_law",
            '{name = "student_t", df = 1}',
            "df must be above 2, got 1",
        ),
        (
            "weight_law = ['gaussian', {name = 'student_t', df = 5}]",
            "network.weight_law[1]",
            '{name = "student_t", df = 5}',
            "take order = 2 or lower in [study], or a law with lighter tails",
        ),
        (
            "bias_law = 'uniform'\nbias_std = 0.1",
            "network.bias_law",
            '"uniform"',
            'write bias_law = ["uniform", "gaussian"]',
        ),
        ("bias_law = []", "network.bias_law", "[]", "depth + 1 = 2 of them"),
        ("ratios = 2.0", "network.ratios", "2.0", "a list of numbers above 0"),
        ("ratios = [0.0]", "network.ratios[0]", "0.0", "a list of numbers above 0"),
        ("parametrization = 'mup'", "network.parametrization", '"mup"', '"ntk" or "standard"'),
        ("outputs = 2", "network.outputs", "2", "unknown field; [network] takes depth"),
    ],
)
def test_network_section(tmp_path, text, path, received, remedy):
    found = wrong(tmp_path, f"[data]\nname = 'wine'\n[network]\n{text}")
    assert list(found) == [path]
    assert found[path][0] == received
    assert remedy in found[path][1]


def test_heavy_tails_are_welcome_where_no_moment_is_missing(tmp_path):
    head = "[data]\nname = 'wine'\n[network]\n"
    spec_of(tmp_path, head + "weight_law = [{name = 'student_t', df = 3}, 'gaussian']")
    spec_of(tmp_path, head + "weight_law = {name = 'student_t', df = 5}\n[study]\norder = 2")
    spec_of(tmp_path, head + "bias_law = 'uniform'\nbias_std = [0.1, 0.0]")


@pytest.mark.parametrize(
    ("text", "path", "received", "remedy"),
    [
        ("widths = 64", "study.widths", "64", "such as [32, 64, 128, 256]"),
        ("widths = []", "study.widths", "[]", "such as [32, 64, 128, 256]"),
        ("widths = [64, 32]", "study.widths", "[64, 32]", "entry [1] = 32 comes after [0] = 64"),
        ("widths = [8, 16.0]", "study.widths[1]", "16.0", "whole numbers"),
        ("members = 2.5", "study.members", "2.5", "networks to train per width, at least 2"),
        ("initial_members = 3", "study.initial_members", "3", "at least 4"),
        ("times = [1, 0.5]", "study.times", "[1, 0.5]", "must increase"),
        ("times = [-1, 1]", "study.times[0]", "-1", "numbers of at least 0"),
        ("times = [0]", "study.times", "[0]", "needs a time above 0"),
        ("method = 'adam'", "study.method", '"adam"', '"flow" (gradient flow) or "descent"'),
        ("method = 'descent'", "study.step", None, "such as step = 0.1"),
        ("step = 0.1", "study.step", "0.1", "gradient flow has no step"),
        (
            "method = 'descent'\nstep = 0.1\ntimes = [0, 0.5]",
            "study.times[1]",
            "0.5",
            "whole numbers of steps",
        ),
        ("point = 4", "study.point", "4", "accepted: 0 to 3"),
        ("order = -1", "study.order", "-1", "a whole number from 0 to 10"),
        ("order = 11", "study.order", "11", "a whole number from 0 to 10"),
        ("tolerance = 0", "study.tolerance", "0", "a number between 0 and 1"),
    ],
)
def test_study_section(tmp_path, text, path, received, remedy):
    found = wrong(tmp_path, f"[data]\nname = 'wine'\n[study]\n{text}")
    assert list(found) == [path]
    assert found[path][0] == received
    assert remedy in found[path][1]


@pytest.mark.parametrize("section", ["network", "study"])
def test_sections_are_tables(tmp_path, section):
    found = wrong(tmp_path, f"{section} = 3\n'a.b' = 1\n[data]\nname = 'wine'\n")
    assert found[section] == ("3", f"accepted: a table [{section}]")
    assert "unknown field; the top of the file takes" in found["a.b"][1]


def test_long_values_are_shortened(tmp_path):
    found = wrong(tmp_path, f"[data]\nname = 'wine'\n[study]\nwidths = {list(range(99, 0, -1))}")
    assert len(found["study.widths"][0]) <= 72


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"title = 'x'\nseed = \n", ["line 2 is not TOML (invalid value): seed =", "name = value"]),
        (b"seed = 1\nseed = 2\n", ["line 2 is not TOML (cannot overwrite a value): seed = 2"]),
        (b"title = 'x", ["line 1 is not TOML"]),
        (b"seed = 1\n\xff\xfe = 2\n", ["line 2 is not UTF-8"]),
    ],
)
def test_unreadable_toml_names_the_line(tmp_path, content, words):
    file = tmp_path / "study.toml"
    file.write_bytes(content)
    with pytest.raises(SpecError) as caught:
        Spec.from_toml(file)
    for word in (str(file), *words):
        assert word in str(caught.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(SpecError, match="there is no such file"):
        Spec.from_toml(tmp_path / "nowhere.toml")
    with pytest.raises(SpecError, match="this is a folder"):
        Spec.from_toml(tmp_path)
