"""Studies killed by SIGKILL at random moments end as if nothing had happened, bit for bit."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import light_study
import numpy as np
import pytest
import trained_study

from widthwise.experiments.store import Store

HERE = Path(__file__).parent


def parts(store):
    """Everything a store holds but the seconds: name → bytes of arrays."""
    return {
        name: {key: (a.dtype, a.shape, a.tobytes()) for key, a in store.read(name).items()}
        for name in store.names()
    }


def test_twenty_kills_of_a_serial_run(tmp_path):
    """Each run is a fork of one process that has all imports behind it, so it starts in no time."""
    reference = light_study.run(str(tmp_path / "reference"), rounds=100)
    process = multiprocessing.get_context("forkserver")
    process.set_forkserver_preload(["light_study"])
    warm = process.Process(target=light_study.run, args=(str(tmp_path / "warm"), "serial", 1))
    warm.start()
    warm.join()
    assert warm.exitcode == 0
    draw = np.random.default_rng(11)
    kills, studies, unmade, progress = 0, 0, 0, []
    directory = tmp_path / "0"
    while kills < 20 or progress[-1] < len(light_study.jobs()):
        run = process.Process(target=light_study.run, args=(str(directory), "serial", 100))
        run.start()
        if kills < 20:
            run.join(float(draw.uniform(0.0, 0.25)))
            with contextlib.suppress(ProcessLookupError):  # ended this moment
                if run.is_alive():
                    os.kill(run.pid, signal.SIGKILL)
        run.join()
        kills += run.exitcode == -signal.SIGKILL
        assert run.exitcode in (0, -signal.SIGKILL)
        if not (directory / "store.json").exists():
            unmade += 1
            progress.append(0)
            continue
        store = Store.open(directory)
        assert store.damaged() == set()  # every block is whole or not there
        progress.append(len(store.done()))
        assert progress[-1] >= (progress[-2] if len(progress) > 1 else 0)  # nothing is lost
        if progress[-1] == len(light_study.jobs()):
            assert parts(store) == parts(reference)
            assert store.digest() == reference.digest()
            assert list((directory / "unfinished").iterdir()) == [] or run.exitcode
            if kills < 20:
                studies += 1
                directory, progress = tmp_path / str(studies), [0]
    assert Store.open(directory).digest() == reference.digest()


@pytest.fixture
def stack():
    with contextlib.ExitStack() as opened:
        yield opened


def workers_of(pid):
    """The worker processes of a driver: its children that Python's multiprocessing has spawned."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_text()
        except OSError:
            continue
        if parent == pid and "spawn_main" in command:
            found.append(int(status.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_twenty_kills_of_drivers_and_workers_that_train_networks(tmp_path, stack):
    """Two processes train networks; drivers and workers are killed in turn."""
    reference = trained_study.run(str(tmp_path / "reference"), "serial")
    directory = tmp_path / "study"
    script = [sys.executable, str(HERE / "trained_study.py"), str(directory), "local"]
    draw = np.random.default_rng(12)
    kills = {"driver": 0, "worker": 0}
    log = stack.enter_context((tmp_path / "log").open("w"))
    cache = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache")}
    cache["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

    def blocks():
        return len(list(directory.glob("blocks/*/*/*.zip")))

    for attempt in range(40):
        if sum(kills.values()) >= 20 and min(kills.values()) >= 8:
            break
        before = blocks()
        driver = subprocess.Popen(script, stderr=log, env=os.environ | cache)
        while not workers_of(driver.pid) and driver.poll() is None:
            time.sleep(0.05)
        while attempt % 2 and blocks() == before and driver.poll() is None:
            time.sleep(0.05)  # every other kill comes when blocks are computed
        time.sleep(float(draw.uniform(0.0, 2.0 if attempt % 2 else 12.0)))
        if workers := workers_of(driver.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(draw.choice(workers)), signal.SIGKILL)
                kills["worker"] += 1
            time.sleep(float(draw.uniform(0.0, 4.0)))
        if driver.poll() is None:
            driver.kill()
        kills["driver"] += driver.wait() == -signal.SIGKILL
        assert driver.returncode in (0, -signal.SIGKILL), (tmp_path / "log").read_text()
        if (directory / "store.json").exists():
            store = Store.open(directory)
            assert store.damaged() == set()
            if len(store.done()) == len(trained_study.jobs()):
                assert parts(store) == parts(reference)
                directory = directory.with_name(directory.name + "+")
                script[2] = str(directory)
    ended = subprocess.run(script, stderr=log, env=os.environ | cache)
    assert ended.returncode == 0, (tmp_path / "log").read_text()
    assert sum(kills.values()) >= 20, kills
    assert min(kills.values()) >= 8, kills
    assert parts(Store.open(directory)) == parts(reference)
    assert Store.open(directory).digest() == reference.digest()
