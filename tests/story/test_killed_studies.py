"""``widthwise run`` and ``resume`` killed by SIGKILL at random moments lose nothing."""

import contextlib
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from widthwise.experiments.store import Store

SPEC = """
seed = 3

[data]
name = "sphere"
train = 4
test = 2
inputs = 3

[network]
activation = "tanh"
weight_std = 1.5

[training]
times = [0.0, 1.0]

[compute]
quantities = ["limit_kernels", "initial_ensemble"]
block = 16

[grid]
width = [8, 16]

[budget]
members = 192
"""


def command(words, folder):
    """The command line in a fork of a process that has the imports behind it."""
    os.environ["XDG_CACHE_HOME"] = str(Path(folder) / "cache")
    from widthwise.show.cli import main

    with (
        open(Path(folder) / "out", "a") as out,
        open(Path(folder) / "err", "a") as err,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(words)
    os._exit(code)


@pytest.fixture(scope="module")
def process():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["widthwise.show.cli", "widthwise.experiments.study"])
    return context


def start(process, words, folder):
    run = process.Process(target=command, args=([str(word) for word in words], str(folder)))
    run.start()
    return run


def finish(process, words, folder):
    run = start(process, words, folder)
    run.join()
    assert run.exitcode == 0, (folder / "err").read_text()


def parts(directory):
    """Everything a study's directory holds but the seconds: name → bytes of arrays."""
    store = Store.open(directory)
    assert store.damaged() == set()
    return {
        name: {key: (a.dtype, a.shape, a.tobytes()) for key, a in store.read(name).items()}
        for name in store.names()
    }


@pytest.mark.slow
def test_twenty_kills_of_the_command_line(tmp_path, process):
    spec = tmp_path / "study.toml"
    spec.write_text(SPEC)
    reference, directory = tmp_path / "reference", tmp_path / "0"
    finish(process, ["run", spec, "--output", reference], tmp_path)
    whole = parts(reference)
    draw, kills, studies = np.random.default_rng(21), 0, 0

    def blocks():
        return len(list(directory.glob("blocks/*/*/*.zip")))

    for attempt in range(80):
        if kills >= 20:
            break
        before = blocks()
        made = (directory / "store.json").exists()
        words = ["resume", directory] if made else ["run", spec, "--output", directory]
        run = start(process, words, tmp_path)
        while attempt % 2 and blocks() == before and run.is_alive():
            time.sleep(0.01)  # every other kill comes when blocks are computed
        run.join(float(draw.uniform(0.0, 0.5 if attempt % 2 else 4.0)))
        with contextlib.suppress(ProcessLookupError):  # ended this moment
            if run.is_alive():
                os.kill(run.pid, signal.SIGKILL)
        run.join()
        assert run.exitcode in (0, -signal.SIGKILL), (tmp_path / "err").read_text()
        kills += run.exitcode == -signal.SIGKILL
        if not (directory / "store.json").exists():
            continue
        held = parts(directory)
        assert held.items() <= whole.items()
        assert len(held) >= before
        if len(held) == len(whole):
            studies += 1
            directory = tmp_path / str(studies)
    assert kills >= 20
    if (directory / "store.json").exists():
        finish(process, ["resume", directory], tmp_path)
    else:
        finish(process, ["run", spec, "--output", directory], tmp_path)
    assert parts(directory) == whole
    assert Store.open(directory).digest() == Store.open(reference).digest()
    (tmp_path / "out").unlink()
    finish(process, ["status", directory, "--json"], tmp_path)
    said = json.loads((tmp_path / "out").read_text())
    assert said["complete"] is True
    assert said["done"] == said["jobs"]
