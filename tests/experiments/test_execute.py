"""Executors give the same bits; failures, interruptions and progress are what the user is told."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import light_study
import numpy as np
import pytest
import watched_study
from rich.console import Console

from widthwise.experiments.execute import (
    EXECUTORS,
    ExecutionError,
    Executor,
    Interrupted,
    JobsFailed,
    Progress,
    executor,
    run_jobs,
    shown,
    spoken,
)
from widthwise.experiments.execute.estimate import Remaining
from widthwise.experiments.jobs import Job
from widthwise.experiments.store import Store

JOBS = light_study.jobs()


@pytest.fixture
def store(tmp_path):
    return Store.create(tmp_path / "study", spec="", provenance={})


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    store = Store.create(tmp_path_factory.mktemp("serial") / "s", spec="", provenance={})
    run_jobs(JOBS, light_study.compute, store)
    return store


def test_four_threads_and_another_order_give_the_same_bits(store, reference):
    made = run_jobs(JOBS[::-1], light_study.compute, store, executor("threads", workers=4))
    assert made.computed == len(JOBS)
    assert store.digest() == reference.digest()
    for job in JOBS:
        assert (
            store.read(job.name)["sum"].tobytes()
            == light_study.compute(job.payload)["sum"].tobytes()
        )


def listening(pids):
    """Addresses on which these processes take connections, from /proc."""
    sockets = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").glob("*"):  # none of a process that is gone
            with contextlib.suppress(OSError):
                sockets.add(os.readlink(handle))
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as lines:
                rows = [line.split() for line in lines][1:]
        except FileNotFoundError:
            continue
        found += [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("kills", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_two_processes_give_the_same_bits_though_some_are_killed(tmp_path, store, reference, kills):
    """One cluster, as starting one costs seconds: light blocks, and kills in mid-block."""
    folder = tmp_path / "watch"
    folder.mkdir()
    watched = watched_study.jobs(folder, 6, 1.0)
    killed, addresses = [], []

    def kill():
        seen = 0
        while len(killed) < kills:
            begun = watched_study.begun(folder)
            fresh = [(pid, seed) for pid, seed in begun[seen:] if pid not in dict(killed)]
            seen = len(begun)
            if fresh:
                addresses.extend(listening({os.getpid(), *(pid for pid, _ in begun)}))
                os.kill(fresh[-1][0], signal.SIGKILL)
                killed.append(fresh[-1])
            time.sleep(0.02)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    two = executor("local", workers=2)
    made = run_jobs([*watched, *JOBS], light_or_watched, store, two)
    killer.join(1)
    assert len(killed) == kills
    assert made.computed == len(watched) + len(JOBS) == len(store.done())
    for job in JOBS:
        ours, theirs = (s.read(job.name) for s in (store, reference))
        assert all(ours[k].tobytes() == theirs[k].tobytes() for k in theirs.keys() | ours.keys())
    for job in watched:
        assert store.read(job.name)["x"].tobytes() == watched_x(job).tobytes()
    begun = watched_study.begun(folder)
    for pid, seed in killed:
        assert {worker for worker, block in begun if block == seed} > {pid}, "computed again"
    assert {pid for pid, _ in begun} > dict(killed).keys(), "where both are killed, one is new"
    assert addresses
    assert all(a.startswith(("0100007F:", "0" * 24 + "0100007F:")) for a in addresses)
    assert not any(a.endswith(":2253") for a in addresses)  # 8787, where Dask shows its state


def light_or_watched(payload):
    return (watched_study if "folder" in payload else light_study).compute(payload)


def watched_x(job):
    return np.random.default_rng(json.loads(job.payload)["seed"]).normal(size=3)


def test_a_finished_study_computes_only_what_is_new(store):
    said = []
    assert run_jobs(JOBS[:10], light_study.compute, store, "threads").computed == 10
    made = run_jobs(JOBS, light_study.compute, store, progress=said.append)
    assert (made.computed, made.total) == (14, 24)
    assert [state.done for state in said] == list(range(10, 25))
    assert run_jobs(JOBS, fail, store).computed == 0


def fail(payload):
    raise AssertionError("nothing is left to compute")


def fails_for_odd_seeds(payload):
    if json.loads(payload)["seed"] % 2:
        raise ZeroDivisionError("one over zero")
    return light_study.compute(payload)


@pytest.mark.parametrize("kind", ["serial", "threads"])
def test_a_failing_point_does_not_stop_the_others(store, kind):
    said = []
    with pytest.raises(JobsFailed, match="ZeroDivisionError: one over zero") as caught:
        run_jobs(JOBS, fails_for_odd_seeds, store, kind, progress=said.append)
    good = {job.name for job in JOBS if json.loads(job.payload)["seed"] % 2 == 0}
    assert store.done() == good
    tried, untried = len(caught.value.failures), 12 - len(caught.value.failures)
    assert f"{tried} of 24 blocks could not be computed ({untried} more" in str(caught.value)
    assert said[-1].failed == 12
    assert run_jobs(JOBS, light_study.compute, store).computed == 12


def test_results_that_are_no_arrays_are_refused(store, unchecked):
    with pytest.raises(ValueError, match="array 'x' has dtype object; a store keeps"):
        run_jobs(JOBS[:1], lambda payload: {"x": object()}, store)


def test_two_jobs_of_one_name_are_refused(store):
    twin = Job(JOBS[0].point, JOBS[0].quantity, JOBS[0].block, "{}")
    with pytest.raises(ValueError, match=f"two different jobs are called {twin.name}"):
        run_jobs([*JOBS, twin], light_study.compute, store)
    assert run_jobs([*JOBS[:2], *JOBS[:2]], light_study.compute, store).computed == 2


def test_jobs_under_way_are_bounded(store):
    class Counting:
        def __init__(self):
            self.most, self.now = 0, 0

        def session(self, compute):
            inner = executor("serial").session(compute)
            outer = self

            class Session:
                workers = 3

                def __enter__(self):
                    self.session = inner.__enter__()
                    return self

                def __exit__(self, *error):
                    return inner.__exit__(*error)

                def submit(self, job):
                    outer.now += 1
                    outer.most = max(outer.most, outer.now)
                    self.session.submit(job)

                def wait(self):
                    outer.now -= 1
                    return self.session.wait()

            return Session()

    counting = Counting()
    run_jobs(JOBS, light_study.compute, store, counting)
    assert counting.most == 3
    assert counting.now == 0


# Stopping. ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_say_how_to_go_on(store, number):
    def interrupting(payload):
        if json.loads(payload)["seed"] == 5:
            os.kill(os.getpid(), number)
            time.sleep(1)
        return light_study.compute(payload)

    ours = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    try:
        handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            run_jobs(JOBS, interrupting, store)
        assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    finally:
        signal.signal(signal.SIGINT, ours)
    assert str(caught.value) == (
        f"interrupted: 5 of 24 blocks are stored in {store.directory}; continue with: "
        f"widthwise resume {store.directory}"
    )
    assert run_jobs(JOBS, light_study.compute, store).computed == 19


@pytest.mark.slow
def test_ctrl_c_of_processes_ends_at_once_and_says_how_to_go_on(tmp_path, reference):
    """As a terminal sends it: to the run and to all of its worker processes."""
    directory = tmp_path / "study"
    script = Path(light_study.__file__)
    with subprocess.Popen(
        [sys.executable, str(script), str(directory), "local", "4000"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        while not list(directory.glob("blocks/*/*/*.zip")) and run.poll() is None:
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        said = run.communicate(timeout=60)[1]
    assert run.returncode == 130
    kept = len(Store.open(directory).done())
    assert said == (
        f"interrupted: {kept} of 24 blocks are stored in {directory}; continue with: "
        f"widthwise resume {directory}\n"
    )
    assert 0 < kept < len(JOBS)


def test_workers_that_die_before_they_have_started_are_started_again():
    local, made = executor("local", deaths=3), []

    def cluster():
        made.append(len(made))
        if len(made) <= dies:
            raise RuntimeError("Nanny failed to start.") from OSError("no memory")
        return "cluster"

    dies = 3
    assert local._started(cluster) == "cluster"
    assert len(made) == 4
    made, dies = [], 4
    with pytest.raises(ExecutionError, match=r"not start, 4 times \(no memory\).*fewer workers"):
        local._started(cluster)


def deadly(payload):
    if json.loads(payload)["seed"] % 4 == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return light_study.compute(payload)


@pytest.mark.slow
def test_a_job_that_kills_its_workers_is_given_up(store):
    with pytest.raises(JobsFailed, match="2 workers died while they computed it") as caught:
        run_jobs(JOBS[:4], deadly, store, executor("local", workers=1, deaths=1))
    assert [failure.job for failure in caught.value.failures] == [JOBS[1]]
    assert store.done() == {job.name for job in JOBS[:4] if job != JOBS[1]}


# Progress. ----------------------------------------------------------------------------------------


def test_the_time_left_weighs_kinds_of_blocks_by_their_own_seconds():
    small = [Job("a" * 16, "q", k, "") for k in range(4)]
    large = [Job("b" * 16, "q", k, "") for k in range(4)]
    remaining = Remaining([*small, *large])
    assert remaining.seconds(1) is None
    remaining.learn(small[0], 1.0)
    remaining.drop(small[0])
    assert remaining.seconds(1) == 7.0  # all are thought to be alike
    remaining.learn(large[0], 10.0)
    remaining.drop(large[0])
    assert remaining.seconds(2) == (3 * 1.0 + 3 * 10.0) / 2


def test_plain_lines_where_there_is_no_terminal(store):
    stream = io.StringIO()
    with shown(Console(file=stream, soft_wrap=True), every=1e9) as report:
        run_jobs(JOBS, light_study.compute, store, progress=report)
    lines = stream.getvalue().splitlines()
    assert lines == ["[0/24] blocks done", "[24/24] blocks done"]
    state = Progress(done=3, total=9, failed=1, seconds_left=400.0, message="block x failed: no")
    assert str(state) == "[3/9] 1 failed, block x failed: no, about 7 min left"


def test_a_bar_on_a_terminal(store):
    stream = io.StringIO()
    with shown(Console(file=stream, force_terminal=True, width=120)) as report:
        run_jobs(JOBS, light_study.compute, store, progress=report)
    assert "24/24" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"), [(8.4, "8 s"), (200, "3 min"), (9000, "2.5 h"), (360000, "4.2 days")]
)
def test_durations_for_people(seconds, words):
    assert spoken(seconds) == words


# Making executors. --------------------------------------------------------------------------------


def test_every_executor_is_one():
    needed = {"scheduler": {"address": "tcp://127.0.0.1:1"}, "slurm": {"interface": "lo"}}
    for kind in EXECUTORS:
        assert isinstance(executor(kind, **needed.get(kind, {})), Executor), kind


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (
            "fork",
            {},
            "executor must be one of serial, threads, local, scheduler, slurm, got 'fork'",
        ),
        ("serial", {"workers": 2}, "executor 'serial' has no option workers = 2; it has none"),
        ("local", {"nodes": 2}, "has no option nodes = 2; it has workers, memory"),
        ("threads", {"workers": 0}, "workers must be .*, got 0"),
        ("local", {"workers": -1}, "workers must be .*, got -1"),
        ("scheduler", {}, "needs address"),
        ("scheduler", {"address": ""}, "address must be that of a Dask scheduler"),
        ("slurm", {}, "interface must name the network"),
        ("slurm", {"interface": "ib0", "jobs": 0}, "jobs must be .*, got 0"),
    ],
)
def test_wrong_options_are_named(kind, options, words, unchecked):
    with pytest.raises(ValueError, match=words):
        executor(kind, **options)


def test_a_scheduler_that_does_not_answer_is_one_message(store):
    nobody = executor("scheduler", address="tcp://127.0.0.1:1", patience=0.3)
    with pytest.raises(
        ExecutionError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:1'"
    ):
        run_jobs(JOBS, light_study.compute, store, nobody)


def test_the_slurm_job_script(tmp_path):
    script = executor(
        "slurm",
        interface="lo",
        jobs=3,
        cores=4,
        memory="8GB",
        walltime="02:30:00",
        queue="long",
        account="theory",
        directives=["--constraint=avx2"],
        prologue=["module load python"],
        log_directory=str(tmp_path),
        python="/opt/python",
    ).job_script("tcp://10.0.0.1:4321")
    lines = script.splitlines()
    assert lines[0].startswith("#!")
    for line in (
        "#SBATCH -p long",
        "#SBATCH -A theory",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=8G",
        "#SBATCH -t 02:30:00",
        "#SBATCH --constraint=avx2",
        f"#SBATCH -o {tmp_path}/widthwise-%J.out",
        "module load python",
        "export OPENBLAS_NUM_THREADS='1'",
        "export JAX_ENABLE_X64='1'",
    ):
        assert line in lines, line
    flags = next(line for line in lines if line.startswith("export XLA_FLAGS="))
    assert "--xla_cpu_multi_thread_eigen=false" in flags
    command = lines[-1]
    assert command.startswith("/opt/python -m distributed.cli.dask_worker tcp://10.0.0.1:4321")
    for words in ("--nthreads 1", "--nworkers 4", "--interface lo", "--no-dashboard", "--nanny"):
        assert words in command, words
    checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr


SBATCH = """#!/bin/sh
setsid sh "$1" > "$1.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -TERM -- "-$job" 2>/dev/null; done
exit 0
"""


@pytest.mark.slow
def test_slurm_with_commands_that_run_the_script_here(tmp_path, store, reference, monkeypatch):
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    here = os.path.dirname(light_study.__file__)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *filter(None, sys.path)]))
    monkeypatch.chdir(tmp_path)
    slurm = executor("slurm", interface="lo", jobs=2, memory="1GB")
    assert run_jobs(JOBS, light_study.compute, store, slurm).computed == len(JOBS)
    assert store.digest() == reference.digest()


@pytest.mark.slow
def test_an_existing_scheduler(tmp_path, store, reference):
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        existing = executor("scheduler", address=cluster.scheduler_address)
        assert run_jobs(JOBS, light_study.compute, store, existing).computed == len(JOBS)
        assert store.digest() == reference.digest()
        shutil.rmtree(store.directory)
