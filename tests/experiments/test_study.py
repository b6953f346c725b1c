"""A study is computed block by block, extended by what is new alone, labelled, exported, shown."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.stats

import widthwise as ww
from widthwise.experiments.execute import executor
from widthwise.experiments.quantities import QUANTITIES, compute, refusal
from widthwise.experiments.quantities.distances import EDGES, counted, curve
from widthwise.experiments.quantities.payload import parse
from widthwise.experiments.quantities.setting import setting
from widthwise.experiments.quantities.trained import _known
from widthwise.experiments.study import Study
from widthwise.finite.estimators import PowerSums, wasserstein
from widthwise.show import cli

STUDIES = Path(__file__).parents[2] / "examples" / "studies"
SMALL = sorted(STUDIES.glob("*_small.toml"))
ASKED = {
    "title": "A small study",
    "data": {"name": "blobs", "train": 3, "test": 2},
    "network": {"activation": "erf", "weight_std": 1.5, "bias_std": 0.3},
    "training": {"times": [0.0, 1.0]},
    "compute": {
        "quantities": ["limit_kernels", "initial_series", "initial_ensemble", "ensemble"],
        "block": 48,
        "points": [0, 1],
    },
    "budget": {"members": 96},
    "grid": {"width": [8, 16]},
}


def changed(**sections) -> dict:
    return {**ASKED, **{k: {**ASKED.get(k, {}), **v} for k, v in sections.items()}}


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Study:
    return Study.from_mapping(ASKED).run(tmp_path_factory.mktemp("studies") / "one")


@pytest.fixture(scope="module")
def results(done):
    return done.results()


# What is computed. --------------------------------------------------------------------------------


def test_labels(results):
    assert dict(results["limit_kernels"].sizes) == {"point": 5, "point2": 5, "mode": 3}
    found = results["ensemble"]
    assert found["cumulant_measured"].dims == ("width", "cumulant", "time", "point", "output")
    assert found["width"].values.tolist() == [8, 16]
    assert found["time"].values.tolist() == [0.0, 1.0]
    assert found["cumulant"].values.tolist() == [1, 2, 3, 4]
    assert found["point"].values.tolist() == ["train 0", "train 1", "train 2", "test 0", "test 1"]
    assert found["members"].values.tolist() == [96, 96]
    assert results["initial_ensemble"]["joint_rows"].values.tolist()[0] == "0 1"


def test_a_grid_over_data_sets_is_the_studies_of_each(tmp_path):
    """Sets of other inputs, outputs and draws; outputs that one lacks are no numbers."""
    asked = changed(compute={"quantities": ["limit_kernels", "ensemble"], "block": 8})
    asked["compute"]["points"] = [0]
    asked |= {"budget": {"members": 16}, "data": {"train": 3, "test": 1}}
    asked["grid"] = {"width": [8], "data": {"name": ["sphere", "iris"], "seed": [0, 5]}}
    found = Study.from_mapping(asked).run(tmp_path / "grid").results()
    for name in ("sphere", "iris"):
        alone = {**asked, "data": {"name": name, "train": 3, "test": 1, "seed": 5}}
        alone["grid"] = {"width": [8]}
        one = Study.from_mapping(alone).run(tmp_path / name).results()
        for quantity, variable in (("limit_kernels", "ntk"), ("ensemble", "cumulant_measured")):
            ours = found[quantity][variable].sel(data=name, data_seed=5)
            theirs = one[quantity][variable]
            labels = {d: theirs[d] for d in theirs.dims if d in ours.dims and d in theirs.coords}
            np.testing.assert_array_equal(ours.sel(labels).transpose(*theirs.dims), theirs)
    ntk = found["limit_kernels"]["ntk"]
    assert not np.allclose(ntk.sel(data_seed=0), ntk.sel(data_seed=5))


def test_kernels_are_those_of_the_library(done, results):
    place = setting(done.asked[0].requests[()])
    kernels = ww.limit_kernels(place.net, place.x)
    np.testing.assert_array_equal(results["limit_kernels"]["ntk"], kernels.ntk)
    np.testing.assert_array_equal(results["limit_kernels"]["nngp"], kernels.nngp)


def test_merged_moments_are_those_of_all_networks_at_once(done, results):
    """Blocks of 48 against 96 networks trained in one go: k-statistics to 1e-12."""
    asked = {a.quantity.name: a for a in done.asked}["ensemble"]
    place = setting(asked.requests[(1,)])
    runs = ww.simulate(place.net, 16, *place.data, place.times, 96, place.key, tolerance=1e-4)
    pivot = place.flow.mean(place.times)[..., None]
    once = PowerSums.empty(pivot, 4).update(np.asarray(runs.outputs)[..., None])
    found = results["ensemble"].sel(width=16)
    for r in range(1, 5):
        value, error = once.cumulant((0,) * r)
        scale = np.abs(value).max()
        measured = found["cumulant_measured"].sel(cumulant=r)
        assert np.abs(measured.values - value).max() <= 1e-12 * scale
        wrong = np.abs(found["cumulant_measured_error"].sel(cumulant=r).values - error)
        assert wrong.max() <= 1e-12 * error.max()


def test_initial_cumulants_agree_with_the_series(results):
    """κ₂ and κ₄ through the last layer, 96 networks, within 4 standard errors of the exact ones."""
    found, theory = results["initial_ensemble"], results["initial_series"]
    for r, name in ((2, "second_cumulant"), (4, "fourth_cumulant")):
        exact = theory["value"].sel(cumulant=r)
        z = (found[name] - exact) / found[f"{name}_error"]
        assert np.abs(z.values).max() < 4
        assert (found[f"{name}_error"].values < 0.6 * np.abs(exact.values)).all()


def test_bits_depend_on_the_payload_alone(done):
    jobs = [j for j in done.jobs() if j.quantity in ("ensemble", "initial_ensemble")]
    chosen = [jobs[-1], jobs[-2], jobs[0]]
    _known.clear()  # the first of them looks for its step anew, the second does not
    for job in chosen:
        again = compute(job.payload)
        stored = done._opened.read(job.name)
        assert again.keys() == stored.keys()
        for name in again:
            np.testing.assert_array_equal(again[name], stored[name])


def test_blocks_do_not_overlap(done):
    """All networks of all blocks are different ones."""
    asked = {a.quantity.name: a for a in done.asked}["initial_ensemble"]
    other = Study.from_mapping(changed(compute={"keep_members": True,
                                                "quantities": ["initial_ensemble"]}))  # fmt: skip
    jobs = [job for job in other.jobs() if parse(job.payload).fields["network"]["width"] == 8]
    outputs = np.concatenate([compute(job.payload)["members"][:, 0, 0] for job in jobs])
    assert len(np.unique(outputs)) == 96
    assert {job.point for job in jobs}.isdisjoint({r.hash for r in asked.requests.values()})


# Extension. ---------------------------------------------------------------------------------------


def test_an_extended_study_computes_only_what_is_new(tmp_path):
    ask = {"quantities": ["limit_kernels", "initial_ensemble"]}
    first = Study.from_mapping(changed(compute=ask)).run(tmp_path / "runs")
    before = {p: p.read_bytes() for p in (tmp_path / "runs" / "blocks").rglob("*.zip")}
    more = Study.from_mapping(
        {
            **changed(compute=ask, budget={"members": 144}, grid={"width": [8, 16, 24]}),
            "zip": {"seed": [0, 1]},
        }
    )
    plan = more.plan(tmp_path / "runs", calibrate=False)
    # 3 widths x 2 seeds x 3 blocks, of which 2 widths x 1 seed x 2 blocks are there; 1 kernel
    assert (plan.jobs, plan.done) == (19, 5)
    seen = []
    done = more.run(tmp_path / "runs", progress=seen.append)
    assert (seen[0].done, seen[-1].done) == (5, 19)
    after = {p: p.read_bytes() for p in (tmp_path / "runs" / "blocks").rglob("*.zip")}
    assert before.items() <= after.items()
    assert len(after) == 19
    assert done._opened.specs[0] == first._opened.specs[0]
    found = done.results()["initial_ensemble"]
    assert found["fourth_cumulant"].dims == ("width", "seed", "point")
    old = first.spec.hash
    assert Study.open(tmp_path / "runs").spec.hash == more.spec.hash != old
    with pytest.raises(ValueError, match=r"holds another study: .* are not asked here"):
        first.run(tmp_path / "runs")


def test_a_budget_of_seconds_ends_the_run(tmp_path):
    ask = {"quantities": ["initial_ensemble"]}
    study = Study.from_mapping(changed(compute=ask, budget={"seconds": 1e-6}))
    stopped = study.run(tmp_path / "runs")
    state = stopped.status()
    assert not state.complete
    assert state.jobs == 4
    assert cli.main(["status", str(tmp_path / "runs")]) == 0


def test_a_budget_of_memory_is_kept(tmp_path):
    study = Study.from_mapping(changed(budget={"memory": 1e6}))
    with pytest.raises(
        ValueError, match=r"budget\.memory = 1e\+06: .* raise memory, or take fewer"
    ):
        study.run(tmp_path / "runs")
    study = Study.from_mapping(changed(budget={"memory": 4e8}))
    with pytest.raises(ValueError, match=r"a job of ensemble takes about 5\.0e\+08 bytes"):
        study.check()
    assert not (tmp_path / "runs").exists()


def test_what_theory_does_not_cover_is_said(tmp_path):
    given = changed(
        network={"weight_law": {"name": "student_t", "df": 5}},
        compute={"quantities": ["initial_series"], "order": 4, "cumulants": 6},
    )
    done = Study.from_mapping({**given, "grid": {"width": [8]}}).run(tmp_path / "runs")
    ((quantity, reason, points),) = done.status().refused
    assert (quantity, points) == ("initial_series", 1)
    assert "moment" in reason
    found = done.results()["initial_series"]
    assert not found.data_vars
    assert reason in found.attrs["no_result"]
    (job,) = done.jobs()
    assert refusal(compute(job.payload)) == reason


@pytest.mark.slow
def test_executors_give_the_same_bits(tmp_path):
    asked = changed(compute={"quantities": ["initial_ensemble", "ensemble", "distances"]})
    chosen = {"serial": "serial", "threads": executor("threads", workers=4),
              "local": executor("local", workers=2)}  # fmt: skip
    digests = {
        name: Study.from_mapping(asked).run(tmp_path / name, how)._opened.digest()
        for name, how in chosen.items()
    }
    assert len(set(digests.values())) == 1


# Distances. ---------------------------------------------------------------------------------------


def test_counted_distances_are_those_of_the_samples():
    """Counts in bins against the exact distance of the sample from the normal law."""
    u = np.random.default_rng(0).exponential(size=4000) - 1.0
    whole = curve(counted(u[:, None, None, None], 0)[:, 0, 0, 0])
    plain = np.trapezoid(np.abs(whole.whole - scipy.stats.norm.cdf(EDGES)), EDGES)
    quantiles = scipy.stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    assert abs(plain - np.abs(np.sort(u) - quantiles).mean()) < 0.003
    z = np.linspace(-12, 12, 200_001)
    law = np.where(z > -1, -np.expm1(-np.maximum(z + 1, 0)), 0.0)
    exact = np.trapezoid(np.abs(law - scipy.stats.norm.cdf(z)), z)
    found = wasserstein(whole, scipy.stats.norm.cdf(EDGES), EDGES)
    assert abs(found.value - exact) < 4 * found.error


def test_counts_of_blocks_add_up():
    u = np.random.default_rng(1).normal(size=(100, 2, 1, 1))
    parts = counted(u[:30], 0) + counted(u[30:], 30)
    np.testing.assert_array_equal(parts, counted(u, 0))


# Files and pages. ---------------------------------------------------------------------------------


def test_netcdf_and_csv_hold_the_results(done, results, tmp_path):
    import pandas as pd
    import xarray as xr

    done.export(tmp_path)
    with xr.open_dataset(tmp_path / "ensemble.nc", engine="scipy") as read:
        np.testing.assert_array_equal(read["deviation"], results["ensemble"]["deviation"])
        assert read["deviation"].dims == results["ensemble"]["deviation"].dims
    done.export(tmp_path, "csv")
    table = pd.read_csv(tmp_path / "initial_ensemble-width-point.csv")
    assert set(table["width"]) == {8, 16}
    np.testing.assert_array_equal(
        table["fourth_cumulant"], results["initial_ensemble"]["fourth_cumulant"].values.ravel()
    )
    with pytest.raises(ValueError, match="one of netcdf, csv, parquet"):
        done.export(tmp_path, "xlsx")


def test_commands_on_a_directory(done, tmp_path, capsys):
    place = str(done.directory)
    assert cli.main(["status", place, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["jobs"], found["done"], found["complete"]) == (11, 11, True)
    assert cli.main(["resume", place, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 11
    assert cli.main(["export", place, "--output", str(tmp_path / "x"), "--format", "csv"]) == 0
    assert "initial_series-width-cumulant-point.csv" in capsys.readouterr().out
    for command in ("status", "resume", "export"):
        assert cli.main([command, str(tmp_path / "none")]) == 2
        assert "is no study" in capsys.readouterr().err


def test_the_page_of_a_study(done, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert cli.main(["report", str(done.directory), "--output", str(page)]) == 0
    text = page.read_text()
    for words in ("A small study", "11 of 11 jobs are done", "Initial ensemble", "Dashed: theory"):
        assert words in text
    rows = json.loads(re.search(r'id="widthwise-figures">(.*?)</script>', text)[1])
    measured = [row for row in rows if row["quantity"] == "initial_ensemble"]
    assert {row["width"] for row in measured} == {8, 16}
    assert all(row["theory"] is not None for row in measured)


def test_a_study_cannot_run_into_a_folder_that_holds_something(tmp_path, capsys):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        Study.from_mapping(ASKED).run(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


# Shipped studies. ---------------------------------------------------------------------------------


@pytest.mark.parametrize("file", SMALL, ids=lambda file: file.stem)
def test_small_studies_have_a_plan(file):
    study = Study.from_toml(file)
    study.check()
    plan = study.plan(calibrate=False)
    assert 3 <= plan.jobs <= 100
    assert plan.done == 0
    assert {line.quantity for line in plan.lines} <= set(QUANTITIES)


@pytest.mark.slow
@pytest.mark.parametrize("file", SMALL, ids=lambda file: file.stem)
def test_small_studies_run(file, tmp_path):
    done = Study.from_toml(file).run(tmp_path / "runs")
    assert done.status().complete
    assert not done.status().refused
    assert done.report(tmp_path / "page.html").exists()


def test_more_members_refuses_foreign_runs():
    from dataclasses import replace

    from widthwise.finite.ensembles import more_members

    net = ww.MLP(activation="identity")
    runs = ww.simulate(net, 4, [[1.0]], [0.5], None, [1.0], 2, jax.random.key(0))
    with pytest.raises(ValueError, match="must come from simulate"):
        more_members(replace(runs, _training=None), 2, 0)
