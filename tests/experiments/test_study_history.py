"""A study remembers its data, software and project; what it is told late or wrongly is said."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

import light_study
import numpy as np
import pytest

import widthwise.experiments.execute.run as execute
import widthwise.experiments.study as studies
from widthwise.experiments.execute import Interrupted, JobsFailed, executor, run_jobs
from widthwise.experiments.quantities import limit_kernels, setting
from widthwise.experiments.spec import SpecError
from widthwise.experiments.store import Store
from widthwise.experiments.studies import plan
from widthwise.experiments.study import Study
from widthwise.finite.gradient import Task
from widthwise.finite.packets import member_numbers
from widthwise.show import cli
from widthwise.show import studies as commands

KERNELS = {"quantities": ["limit_kernels"]}
BALL = {"name": "sphere", "inputs": 3, "train": 2, "test": 1}
ONE = {"data": BALL, "network": {"width": 4}, "compute": KERNELS}


def table(path, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(12, 3))
    lines = [",".join(f"{number:.6f}" for number in row) for row in rows]
    path.write_text("\n".join(["a,b,y", *lines]) + "\n")


def of_file(path, **more) -> Study:
    data = {"path": str(path), "train": 4, "test": 2}
    return Study.from_mapping({**ONE, "data": data, **more})


def ntk(study: Study) -> np.ndarray:
    return np.asarray(study.results()["limit_kernels"]["ntk"])


# Data files. --------------------------------------------------------------------------------------


def test_an_edited_file_is_new_data_in_the_same_process(tmp_path):
    """Rival: the same content under another path."""
    table(tmp_path / "d.csv", 0)
    of_file(tmp_path / "d.csv").run(tmp_path / "first")
    table(tmp_path / "d.csv", 1)
    table(tmp_path / "e.csv", 1)
    edited = ntk(of_file(tmp_path / "d.csv").run(tmp_path / "second"))
    np.testing.assert_array_equal(edited, ntk(of_file(tmp_path / "e.csv").run(tmp_path / "third")))


def test_a_finished_study_is_read_without_its_file(tmp_path):
    table(tmp_path / "d.csv", 2)
    done = of_file(tmp_path / "d.csv").run(tmp_path / "runs")
    before, digest = ntk(done), done._opened.digest()
    (tmp_path / "d.csv").rename(tmp_path / "e.csv")
    for cache in (setting._loaded, setting._setting):
        cache.cache_clear()
    again = Study.open(tmp_path / "runs")
    np.testing.assert_array_equal(ntk(again), before)
    np.testing.assert_array_equal(ntk(done), before)
    assert again.status().complete
    assert again.run().status().complete
    moved = of_file(tmp_path / "e.csv").run(tmp_path / "runs")
    assert moved.status().complete
    assert len(moved._opened.specs) == 2
    assert moved._opened.digest() == digest
    (kept,) = (tmp_path / "runs" / "points").iterdir()
    kept.write_bytes(kept.read_bytes()[:-40])
    setting._loaded.cache_clear()
    setting._setting.cache_clear()
    with pytest.raises(ValueError, match=r"points/.*npz is damaged"):
        setting.setting(moved.asked[0].requests[()])


def test_an_unfinished_study_whose_file_moved_says_how_to_go_on(tmp_path):
    table(tmp_path / "d.csv", 3)
    short = {"budget": {"seconds": 1e-9}}
    of_file(tmp_path / "d.csv", **short).run(tmp_path / "runs")
    (tmp_path / "d.csv").rename(tmp_path / "e.csv")
    assert Study.open(tmp_path / "runs").status().done == 0
    with pytest.raises(ValueError, match="put its new path into the spec"):
        Study.open(tmp_path / "runs").run()
    assert of_file(tmp_path / "e.csv").run(tmp_path / "runs").status().complete


def test_a_file_that_changed_is_refused(tmp_path, capsys):
    table(tmp_path / "d.csv", 4)
    before = ntk(of_file(tmp_path / "d.csv").run(tmp_path / "runs"))
    names = Store.open(tmp_path / "runs").names()
    table(tmp_path / "d.csv", 5)
    for study in (Study.open(tmp_path / "runs"), of_file(tmp_path / "d.csv")):
        for act in (study.run, study.plan):
            with pytest.raises(ValueError, match=r"d\.csv changed since .* a new directory"):
                act(tmp_path / "runs")
    assert cli.main(["resume", str(tmp_path / "runs")]) == 2
    assert "d.csv changed since" in capsys.readouterr().err
    assert Store.open(tmp_path / "runs").names() == names
    np.testing.assert_array_equal(ntk(Study.open(tmp_path / "runs")), before)
    assert Study.open(tmp_path / "runs").status().complete


def test_progress_counts_all_jobs_of_a_study_of_a_file(tmp_path):
    table(tmp_path / "d.csv", 6)
    of_file(tmp_path / "d.csv", grid={"activation": ["erf"]}).run(tmp_path / "runs")
    seen = []
    more = of_file(tmp_path / "d.csv", grid={"activation": ["erf", "relu"]})
    more.run(tmp_path / "runs", progress=seen.append)
    assert [(state.done, state.total) for state in seen] == [(1, 2), (2, 2)]


# Software and project. ----------------------------------------------------------------------------


def test_changed_software_is_said(tmp_path, monkeypatch, capsys):
    found = studies.provenance
    monkeypatch.setattr(studies, "provenance", lambda folder: found(folder) | {"jax": "0.0.1"})
    Study.from_mapping(ONE).run(tmp_path / "runs")
    assert Study.open(tmp_path / "runs").software_changes == ()
    monkeypatch.setattr(studies, "provenance", found)
    seen = []
    done = Study.open(tmp_path / "runs").run(progress=seen.append)
    assert seen[0].message.startswith("jax changed from 0.0.1 to ")
    assert cli.main(["status", str(tmp_path / "runs")]) == 0
    assert "jax changed from 0.0.1 to" in capsys.readouterr().out
    assert cli.main(["status", str(tmp_path / "runs"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["software_changes"]) == 1
    assert "jax changed from 0.0.1 to" in done.report(tmp_path / "page.html").read_text()


def test_resume_records_the_commit_of_the_project(tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    git = ["git", "-C", str(project), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "begun"], check=True)
    monkeypatch.chdir(project)
    Study.from_mapping(ONE).run(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    resumed = Study.open(tmp_path / "runs").run()
    assert len(resumed.provenance) == 1
    assert len(resumed.provenance[0]["git_commit"]) == 40


# Plans. -------------------------------------------------------------------------------------------


def test_a_plan_computes_with_one_thread(monkeypatch):
    """The flow that a plan finds is kept for the run; so is a step of training."""
    depth, asked = [0], []

    @contextlib.contextmanager
    def counted():
        depth[0] += 1
        yield
        depth[0] -= 1

    real, compute = setting.linear_flow, type(limit_kernels.QUANTITY).compute
    monkeypatch.setattr(setting, "one_thread", counted)
    monkeypatch.setattr(plan, "one_thread", counted)

    def flow(*given):
        asked.append(depth[0])
        return real(*given)

    def kernels(*given):
        asked.append(depth[0])
        return compute(*given)

    monkeypatch.setattr(setting, "linear_flow", flow)
    monkeypatch.setattr(type(limit_kernels.QUANTITY), "compute", kernels)
    study = Study.from_mapping({**ONE, "data": {**BALL, "seed": 91}})
    study.plan()
    assert asked
    assert min(asked) >= 1
    asked.clear()
    setting._flow.cache_clear()
    _ = setting.setting(study.asked[0].requests[()]).flow
    setting._setting.cache_clear()
    _ = setting.setting(study.asked[0].requests[()]).flow
    assert min(asked) >= 1


@pytest.mark.slow
def test_a_plan_does_not_change_the_bits_of_a_run(tmp_path):
    """300 train points, where several threads round otherwise than one."""

    def digest(name: str, planned: bool) -> str:
        for cache in (setting._loaded, setting._setting, setting._flow):
            cache.cache_clear()
        data = {"name": "sphere", "inputs": 8, "train": 300, "test": 2}
        study = Study.from_mapping({**ONE, "data": data, "network": {"activation": "erf"}})
        if planned:
            study.plan()
        return study.run(tmp_path / name)._opened.digest()

    assert digest("run", False) == digest("planned", True)


def test_a_plan_into_another_study_is_refused(tmp_path, capsys):
    Study.from_mapping(ONE).run(tmp_path / "runs")
    file = tmp_path / "s.toml"
    file.write_text(Study.from_mapping({**ONE, "network": {"weight_std": 2.0}}).spec.to_toml())
    words = ["run", str(file), "--output", str(tmp_path / "runs"), "--dry-run"]
    assert cli.main(words) == 2
    assert "holds another study" in capsys.readouterr().err


@pytest.mark.parametrize(("occupied", "words"), [("file", "is a file"), ("folder", "no study")])
def test_a_plan_is_refused_where_its_run_would_be(tmp_path, capsys, occupied, words):
    spec = tmp_path / "s.toml"
    spec.write_text(Study.from_mapping(ONE).spec.to_toml())
    place = tmp_path / "there"
    if occupied == "folder":
        place.mkdir()
        (place / "notes.txt").write_text("mine")
    else:
        place.write_text("mine")
    said = []
    for dry in (["--dry-run"], []):
        assert cli.main(["run", str(spec), "--output", str(place), *dry]) == 2
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert words in said[0]


def test_a_refused_point_says_nothing_about_the_time_of_others(monkeypatch):
    """The cheapest point is refused, the next one takes 0.02 s."""

    def kernels(self, place, members):
        if place.point.network.activation == "erf":
            raise ValueError("not covered")
        time.sleep(0.02)
        return {}

    monkeypatch.setattr(type(limit_kernels.QUANTITY), "compute", kernels)
    for activations, least, most in ((["erf", "relu", "tanh"], 0.06, 60), (["erf"], 0, 0)):
        asked = {"data": BALL, "compute": KERNELS, "grid": {"activation": activations}}
        seconds = Study.from_mapping(asked).plan().seconds
        assert seconds is not None
        assert least <= seconds <= most


def test_memory_grows_with_the_width():
    """Rival: what the library's own ensemble says of one member of a packet."""

    def of(width: int, quantity: str = "ensemble") -> Study:
        network = {"width": width, "depth": 2}
        asked = {"quantities": [quantity], "block": 16}
        return Study.from_mapping(
            {**ONE, "network": network, "compute": asked, "budget": {"members": 16}}
        )

    for quantity in ("ensemble", "predictions", "certificates", "ntk_ensemble", "distances"):
        with pytest.raises(ValueError, match=r"raise memory, or lower width = 10000000: "):
            of(10**7, quantity).check()
    with pytest.raises(ValueError, match="raise memory, or lower width = 10000: "):
        of(10**4, "initial_ensemble").check()
    asked = {"quantities": ["initial_ensemble"], "block": 10**6}
    budget = {"members": 10**6, "memory": 3e8}
    with pytest.raises(ValueError, match="lower block in"):
        Study.from_mapping({**ONE, "compute": asked, "budget": budget}).check()
    place = setting.setting(of(4000).asked[0].requests[()])
    task = Task(place.dataset.x_train, place.dataset.y_train, place.x)
    numbers = member_numbers(place.net, 4000, task)
    assert numbers > 4000**2
    (line,) = of(4000).plan(calibrate=False).lines
    assert line.memory > 5e8 + 8 * numbers


# Ends. --------------------------------------------------------------------------------------------


def test_failures_are_told_though_the_time_is_spent(tmp_path, monkeypatch):
    """A clock of the test's own: it jumps when the first job fails."""
    now = [0.0]

    def boom(payload):
        now[0] += 100.0
        raise ZeroDivisionError("one over zero")

    monkeypatch.setattr(execute.time, "perf_counter", lambda: now[0])
    store = Store.create(tmp_path / "study", spec="", provenance={})
    with pytest.raises(JobsFailed, match="computed before the time was spent are stored"):
        run_jobs(light_study.jobs(), boom, store, seconds=50.0)
    assert run_jobs(light_study.jobs(), light_study.compute, store, seconds=-1.0).computed == 0
    monkeypatch.setattr(studies, "compute", boom)
    asked = {**ONE, "budget": {"seconds": 50.0}, "grid": {"activation": ["erf", "relu", "tanh"]}}
    with pytest.raises(JobsFailed, match="1 of 3 blocks could not be computed"):
        Study.from_mapping(asked).run(tmp_path / "runs")


def test_an_interrupt_of_the_verification_says_how_to_go_on(tmp_path, monkeypatch):
    store = Store.create(tmp_path / "study", spec="", provenance={})

    def interrupted(self, jobs):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)

    monkeypatch.setattr(Store, "pending", interrupted)
    ours = signal.signal(signal.SIGTERM, signal.default_int_handler)  # never the test's own end
    try:
        with pytest.raises(Interrupted, match=r"is kept; continue with: widthwise resume"):
            run_jobs(light_study.jobs(), light_study.compute, store)
    finally:
        signal.signal(signal.SIGTERM, ours)


def test_workers_keep_the_other_fields_of_the_executor(tmp_path, monkeypatch):
    said = {"kind": "local", "memory": "1GB", "workers": 1}
    study = Study.from_mapping({**ONE, "executor": said})
    given = []
    monkeypatch.setattr(Study, "run", lambda self, output, where, progress: given.append(where))
    with contextlib.suppress(AttributeError):  # what it returns is no study
        commands._compute(study, tmp_path, None, 3, as_json=True)
    with contextlib.suppress(AttributeError):
        commands._compute(study, tmp_path, "threads", 3, as_json=True)
    assert given == [executor("local", workers=3, memory="1GB"), executor("threads", workers=3)]


def test_outputs_that_cannot_be_are_bad_input(tmp_path, capsys):
    Study.from_mapping(ONE).run(tmp_path / "runs")
    file, spec = tmp_path / "file", tmp_path / "s.toml"
    file.write_text("mine")
    spec.write_text(Study.from_mapping(ONE).spec.to_toml())
    for output in (file, file / "below"):
        assert cli.main(["run", str(spec), "--output", str(output)]) == 2
        assert f"{file} is a file" in capsys.readouterr().err
        assert cli.main(["export", str(tmp_path / "runs"), "--output", str(output)]) == 2
        assert f"{output} cannot be a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"
    shutil.copytree(tmp_path / "runs", tmp_path / "copy")
    (tmp_path / "copy" / "provenance" / "0000.json").write_text("{")
    for command in ("status", "resume"):
        assert cli.main([command, str(tmp_path / "copy")]) == 2
        assert "provenance/0000.json cannot be read" in capsys.readouterr().err


def test_members_have_32_bits():
    budget = {"members": 2**32 + 64}
    with pytest.raises(SpecError, match="from 1 to 4294967296"):
        Study.from_mapping({**ONE, "budget": budget})
    assert Study.from_mapping({**ONE, "budget": {"members": 2**32}}).spec.budget.members == 2**32
