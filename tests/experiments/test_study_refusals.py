"""Refusals, networks that diverge, labels of unequal grid points, and errors beside all numbers."""

import copy
import itertools

import jax
import numpy as np
import pytest
import scipy.stats

import widthwise as ww
from widthwise.experiments.quantities import compute
from widthwise.experiments.quantities.certificates import median
from widthwise.experiments.quantities.compute import QUANTITIES, REFUSAL
from widthwise.experiments.quantities.coverage import NotCovered, is_refusal
from widthwise.experiments.quantities.distances import EDGES, counted, curve
from widthwise.experiments.quantities.moments import diverged, merged, sums
from widthwise.experiments.quantities.quantity import Members
from widthwise.experiments.quantities.setting import setting
from widthwise.experiments.quantities.trained import trained
from widthwise.experiments.spec import StudySpec
from widthwise.experiments.spec.errors import SpecError
from widthwise.experiments.spec.study.axes import dimension
from widthwise.experiments.spec.study.sections import POINT_SECTIONS
from widthwise.experiments.studies.aligned import in_order
from widthwise.experiments.study import Study
from widthwise.finite.ensembles import more_members
from widthwise.show import cli
from widthwise.show.study_report.curves import DRAWN, curves

ASKED = {
    "data": {"name": "sphere", "inputs": 3, "train": 3, "test": 2},
    "network": {"activation": "tanh", "width": 4},
    "training": {"times": [0.0, 0.2]},
    "compute": {"quantities": ["initial_ensemble"], "block": 16},
    "budget": {"members": 32},
}
UNSTABLE = {
    "seed": 4,
    "network": {"activation": "relu", "width": 3, "weight_std": 1.4},
    "training": {"method": "descent", "step": 0.17, "times": [0.0, 1000.0]},
}
"""Gradient descent by a step that a few of 64 networks of three neurons do not stand."""


def changed(**sections) -> dict:
    """ASKED with fields added to its sections; ``None`` takes a field away."""
    made = copy.deepcopy(ASKED)
    for name, given in sections.items():
        if isinstance(given, dict):
            both = made.get(name, {}) | given
            made[name] = {k: v for k, v in both.items() if v is not None}
        else:
            made[name] = given
    return made


def refused(reason: str) -> dict[str, np.ndarray]:
    return {REFUSAL: np.frombuffer(reason.encode(), dtype=np.uint8)}


# Refusals. ----------------------------------------------------------------------------------------


def test_a_refusal_in_a_later_block(tmp_path, capsys):
    done = Study.from_mapping(changed(network={"width": None}, grid={"width": [4, 5]})).run(
        tmp_path / "runs"
    )
    second = next(job for job in done.jobs() if job.block == 1)
    done._opened.write(second, refused("too stiff"), 0.1)
    state = done.status()
    assert state.refused == (("initial_ensemble", "too stiff", 1),)
    found = done.results()["initial_ensemble"]
    assert found.attrs["no_result"] == "too stiff (width = 4)"
    assert np.isnan(found["fourth_cumulant"].sel(width=4)).all()
    assert np.isfinite(found["fourth_cumulant"].sel(width=5)).all()
    place = str(done.directory)
    assert cli.main(["export", place, "--output", str(tmp_path / "x")]) == 0
    assert cli.main(["report", place, "--output", str(tmp_path / "page.html")]) == 0
    capsys.readouterr()


def test_only_what_the_theory_says_is_a_refusal():
    def caught(work) -> ValueError:
        with pytest.raises(ValueError) as error:  # noqa: PT011 (what it says is not the point)
            work()
        return error.value

    def refuse():
        raise NotCovered("not here")

    light = ww.MLP(weight_law=ww.laws.StudentT(5), activation="erf")
    theory = [
        lambda: ww.output_cumulants(light, [[1.0, 0.0]], 4).cumulant((0,) * 6),
        lambda: ww.linear_flow(ww.MLP(), [[1.0]], [1.0]).mean(steps=3, step=1e6),
        refuse,
    ]
    broken = [
        lambda: np.linalg.cholesky(-np.eye(2)),
        lambda: np.zeros(2) + np.zeros(3),
        lambda: int("three"),
        lambda: ww.limit_kernels(ww.MLP(), [1.0, 2.0]),
    ]
    assert [is_refusal(caught(work)) for work in theory] == [True] * 3
    assert [is_refusal(caught(work)) for work in broken] == [False] * 4


@pytest.mark.parametrize("error", [ValueError("shapes"), np.linalg.LinAlgError("singular")])
def test_what_is_broken_fails_and_is_tried_again(error, monkeypatch):
    (job, *_) = Study.from_mapping(ASKED).jobs()

    def broken(self, setting, members):
        raise error

    monkeypatch.setattr(type(QUANTITIES["initial_ensemble"]), "compute", broken)
    with pytest.raises(type(error)):
        compute(job.payload)


def test_a_merge_that_is_broken_is_no_note(tmp_path, monkeypatch):
    done = Study.from_mapping(ASKED).run(tmp_path / "runs")

    def broken(self, setting, blocks):
        raise ValueError("shapes do not fit")

    monkeypatch.setattr(type(QUANTITIES["initial_ensemble"]), "merge", broken)
    with pytest.raises(ValueError, match="shapes do not fit"):
        done.results()


# Networks that diverge. ---------------------------------------------------------------------------


def test_diverged_networks_are_not_numbers(unchecked):
    """Linear networks of three neurons: the tangent kernels of some allow the step, of some not."""
    net, key = ww.MLP(activation="identity"), jax.random.key(3)
    data = ([[1.0, 0.0], [0.0, 1.0]], [1.0, -1.0], None, [0, 300], 40, key)
    options = {"method": "descent", "step": 2.0}
    with pytest.raises(ValueError, match="diverged='nan' to leave such networks out"):
        ww.simulate(net, 3, *data, **options)
    runs = ww.simulate(net, 3, *data, **options, diverged="nan", record="movement")
    assert 0 < runs.diverged.sum() < 40
    assert np.isnan(runs.outputs[runs.diverged]).all()
    assert np.isnan(runs.recorded["movement"][runs.diverged]).all()
    assert np.isfinite(runs.outputs[~runs.diverged]).all()
    assert np.isfinite(runs.initial).all()
    (good, *_) = np.flatnonzero(~runs.diverged)
    alone = more_members(runs, 1, int(good))  # those beside it in its packet do not matter
    np.testing.assert_array_equal(alone.outputs[0], runs.outputs[good])
    again = more_members(runs, 40, 0, diverged="nan")
    np.testing.assert_array_equal(again.outputs, runs.outputs)
    with pytest.raises(ValueError, match="'raise' or 'nan', got 'skip'"):
        ww.simulate(net, 3, *data, **options, diverged="skip")  # pyright: ignore


def test_sums_leave_out_what_is_lost():
    """In blocks of any size, the sums of all but the lost ones, in their groups."""
    x = np.random.default_rng(0).normal(size=(50, 2, 1))
    lost = np.zeros(50, dtype=bool)
    lost[[3, 17, 35, 49]] = True
    x[lost] = np.nan
    parts = [sums("a", x[i:j], 0.5, 3, i, lost[i:j]) for i, j in ((0, 20), (20, 50))]
    found = merged("a", parts)
    assert found.count == 46
    for k in range(32):
        mine = x[k::32][~lost[k::32]] - 0.5
        assert found.counts[k] == len(mine)
        np.testing.assert_allclose(found.sums[k, 0], mine.sum(0)[:, 0], atol=1e-13)
    np.testing.assert_allclose(found.mean.value, x[~lost].mean(0), rtol=1e-13)
    blocks = [{"diverged": np.asarray(2)}, {"diverged": np.asarray(1)}]
    assert diverged(blocks) == ((), 3)
    with pytest.raises(NotCovered, match="need more networks than 1"):
        merged("a", [sums("a", x[:1], 0.5, 3, 0)])


def test_counts_leave_out_what_is_lost():
    u = np.random.default_rng(1).normal(size=(50, 1, 1, 1))
    lost = np.arange(50) % 7 == 0
    with_nan = np.where(lost[:, None, None, None], np.nan, u)
    found = counted(with_nan, 5, lost)
    assert found.sum() == (~lost).sum()
    each = sum(counted(u[[i]], 5 + int(i)) for i in np.flatnonzero(~lost))
    np.testing.assert_array_equal(found, each)


def test_a_study_of_which_some_networks_diverge(tmp_path, capsys):
    names = ["ensemble", "distances", "certificates"]
    asked = changed(**UNSTABLE, compute={"quantities": names}, budget={"members": 64})
    done = Study.from_mapping(asked).run(tmp_path / "runs")
    state, results = done.status(), done.results()
    assert state.complete
    assert not state.refused
    lost = int(results["ensemble"]["diverged"])
    assert 0 < lost < 32
    assert [part.diverged for part in state.parts] == [lost] * 3
    assert f"ensemble: {lost} networks diverged" in str(state)
    assert int(results["ensemble"]["members"]) == int(results["distances"]["members"]) == 64 - lost
    assert int(results["certificates"]["members"]) == 64
    assert int(results["certificates"]["converged_count"]) <= 64 - lost
    asked_here = {a.quantity.name: a for a in done.asked}["ensemble"]
    place = setting(asked_here.requests[()])
    runs = trained(place, Members(0, 64))
    kept = runs.outputs[~runs.diverged]
    assert len(kept) == 64 - lost
    found = results["ensemble"]["cumulant_measured"].sel(cumulant=1).values
    np.testing.assert_allclose(found, kept.mean(0), rtol=1e-10)
    page = tmp_path / "page.html"
    assert cli.main(["export", str(done.directory), "--output", str(tmp_path / "x")]) == 0
    assert cli.main(["report", str(done.directory), "--output", str(page)]) == 0
    assert f"ensemble: {lost} diverged networks are left out" in page.read_text()
    capsys.readouterr()


def test_what_is_certified_is_how_networks_are_trained():
    given = changed(compute={"certificate": "sign_flips", "quantities": ["certificates"]})
    assert StudySpec.from_mapping(given).compute.dynamics is None  # flow: no complaint
    descent = {"method": "descent", "step": 0.1, "times": [0, 10]}
    with pytest.raises(SpecError, match="theorem about gradient flow"):
        StudySpec.from_mapping({**given, "training": descent})


# Networks are the same whatever the block. --------------------------------------------------------


def test_blocks_of_other_size_draw_the_same_networks():
    outputs, keys = [], []
    for block, keep in ((16, True), (32, True)):
        chosen = {"block": block, "keep_members": keep, "cumulants": 2 + block // 16}
        study = Study.from_mapping(changed(compute=chosen))
        outputs.append(np.concatenate([compute(job.payload)["members"] for job in study.jobs()]))
        keys.append(setting(study.asked[0].requests[()]).key)
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-12)
    assert len(np.unique(outputs[0][:, 0, 0])) == 32
    assert keys[0] == keys[1]
    for other in ({"seed": 1}, {"network": {"width": 5}}, {"data": {"seed": 1}}):
        study = Study.from_mapping(changed(**other))
        assert setting(study.asked[0].requests[()]).key != keys[0]


# Labels. ------------------------------------------------------------------------------------------


def test_labels_are_in_order():
    mixed = ["test 10", "train 10", "train 2", "test 1", "train 0"]
    assert sorted(mixed, key=in_order) == ["train 0", "train 2", "train 10", "test 1", "test 10"]
    assert sorted(["0 10", "0 1 1", "0 2"], key=in_order) == ["0 2", "0 10", "0 1 1"]
    assert sorted([1.0, 0.25, 10.0], key=in_order) == [0.25, 1.0, 10.0]


@pytest.mark.parametrize(
    "names",
    [["limit_kernels"], pytest.param(["limit_kernels", "ensemble"], marks=pytest.mark.slow)],
)
def test_a_grid_over_train_points(names, tmp_path):
    asked = changed(data={"train": None}, compute={"quantities": names})
    done = Study.from_mapping({**asked, "grid": {"train": [11, 3]}}).run(tmp_path / "runs")
    results = done.results()
    wanted = [f"train {i}" for i in range(11)] + ["test 0", "test 1"]
    for name in names:
        assert results[name]["point"].values.tolist() == wanted
    kernels = results["limit_kernels"]
    assert kernels["point2"].values.tolist() == wanted
    assert np.isnan(kernels["ntk"].sel(train=3, point="train 3")).all()
    for i, train in enumerate((11, 3)):
        place = setting({a.quantity.name: a for a in done.asked}["limit_kernels"].requests[(i,)])
        mine = [f"train {i}" for i in range(train)] + ["test 0", "test 1"]
        found = kernels["ntk"].sel(train=train, point=mine, point2=mine)
        np.testing.assert_array_equal(found, ww.limit_kernels(place.net, place.x).ntk)
    if "ensemble" not in names:
        return
    (deviation,) = DRAWN["ensemble"]
    found = curves(results, "ensemble", deviation, ("train",))
    assert found is not None
    last = results["ensemble"]["deviation"].sel(point="test 1", output=0)
    along, shown, _ = found
    assert along == "time"
    for one, train in zip(shown, (11, 3), strict=True):
        np.testing.assert_array_equal(one.y, last.sel(train=train))


@pytest.mark.slow
def test_a_grid_over_followed_points(tmp_path):
    asked = changed(compute={"quantities": ["initial_ensemble", "ensemble"]})
    study = Study.from_mapping({**asked, "grid": {"points": [[1], [0, 1]]}})
    results = study.run(tmp_path / "runs").results()
    found = results["ensemble"]
    assert found["covariance"].dims == (
        "followed_points",
        "time",
        "output",
        "followed",
        "followed2",
    )
    assert found["followed"].values.tolist() == ["test 0", "test 1"]
    each = [found["covariance"].isel(followed_points=i) for i in (0, 1)]
    both = [e.sel(followed="test 1", followed2="test 1") for e in each]
    np.testing.assert_array_equal(*both)  # the same networks
    assert np.isnan(each[0].sel(followed="test 0")).all()
    joint = results["initial_ensemble"]["joint"]
    assert joint.isel(followed_points=0).isnull().all()
    assert joint.isel(followed_points=1).notnull().all()


@pytest.mark.slow
def test_a_grid_over_noise(tmp_path):
    asked = changed(compute={"quantities": ["distances"]})
    study = Study.from_mapping({**asked, "grid": {"noise": [0.0, 0.1]}})
    found = study.run(tmp_path / "runs").results()["distances"]
    assert found["noise"].values.tolist() == [0.0, 0.1]
    assert found["sampling_noise"].dims == ("noise", "time", "point")
    assert np.isfinite(found["kolmogorov"]).all()


@pytest.fixture(scope="module")
def of_all_quantities(tmp_path_factory):
    asked = changed(compute={"quantities": list(QUANTITIES), "points": [0, 1]})
    asked["compute"]["certificate"] = "path"  # a tube takes seconds of every network
    asked["compute"]["keep_members"] = True
    return Study.from_mapping(asked).run(tmp_path_factory.mktemp("all") / "runs").results()


@pytest.mark.slow
def test_no_field_is_called_like_a_variable(of_all_quantities):
    names = {
        name
        for node in of_all_quantities.children.values()
        for name in (*node.to_dataset().variables, *node.to_dataset().dims)
    }
    fields = {f"{s}.{f}" for s, model in POINT_SECTIONS.items() for f in model.model_fields}
    assert not {dimension(field) for field in (*fields, "seed")} & names


EXACT = {
    "members", "diverged", "outputs", "integration_error", "kernel_error", "order_used",
    "gaussian_density", "smallest_density", "nngp", "ntk", "coefficient", "mean_coefficient",
    "variance_coefficient", "sampling_noise", "process_std", "std", "certified_count",
    "converged_count", "certified_and_not_converged",
}  # fmt: skip


@pytest.mark.slow
def test_every_number_has_its_error_or_says_why_not(of_all_quantities):
    for name, node in of_all_quantities.children.items():
        found = node.to_dataset()
        for variable, values in found.data_vars.items():
            if str(variable).endswith("_error") or variable in EXACT:
                continue
            assert f"{variable}_error" in found or "note" in values.attrs, (name, variable)


# Errors. ------------------------------------------------------------------------------------------


def test_the_error_of_kolmogorov_bounds_bias_and_noise():
    """2000 samples of 64 Gaussian numbers, whose distance is 0: √(π²/12) < RMS √64 < bound."""
    rng, N = np.random.default_rng(5), 64
    squares = []
    for _ in range(2000):
        law = curve(counted(rng.normal(size=(N, 1, 1, 1)), 0)[:, 0, 0, 0])
        squares.append(np.abs(law.whole - scipy.stats.norm.cdf(EDGES)).max() ** 2)
    rms = np.sqrt(np.mean(squares) * N)
    assert 0.8 < rms < np.sqrt((1 + np.log(2)) / 2)


def test_the_error_of_a_median():
    """Against the standard deviation of medians of 4000 samples, and small samples by hand."""
    samples = np.random.default_rng(6).normal(size=(4000, 101))
    pairs = np.array([median(sample) for sample in samples])
    assert abs(pairs[:, 1].mean() / pairs[:, 0].std() - 1) < 0.1
    assert median(np.array([3.0, 1.0])) == (2.0, pytest.approx(np.nan, nan_ok=True))
    assert np.isnan(median(np.array([]))).all()
    value, error = median(np.array([0.0] * 5 + [np.inf] * 4))
    assert value == 0
    assert np.isnan(error)


@pytest.mark.slow
def test_training_law_and_edgeworth_have_errors():
    asked = changed(compute={"quantities": ["edgeworth", "training_law"], "order": 2},
                    training={"times": [1.0]})  # fmt: skip
    found = {}
    for each in Study.from_mapping(asked).asked:
        request = each.requests[()]
        (job,) = each.jobs()
        found[each.quantity.name] = each.quantity.merge(setting(request), [compute(job.payload)])
    for name, variable in itertools.product(found, ("mean", "variance", "density", "distribution")):
        made = found[name].variables
        if variable in made:
            assert made[variable][0] == made[f"{variable}_error"][0]
            assert variable in found[name].notes
            assert (np.asarray(made[f"{variable}_error"][1]) >= 0).all()
