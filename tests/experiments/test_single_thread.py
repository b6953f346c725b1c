"""Every job has one thread: XLA's, which it takes when JAX first computes, are counted."""

import os
import subprocess
import sys

import pytest

from widthwise.experiments.execute.single_thread import environment, one_thread

COUNTED = """
import json, sys, tempfile
from pathlib import Path

from widthwise.experiments.execute import executor, run_jobs
from widthwise.experiments.jobs import Job
from widthwise.experiments.store import Store


def compute(payload):
    import jax.numpy as jnp
    import numpy as np

    a = jnp.ones((300, 300)) @ jnp.ones((300, 300))
    names = [p.read_text().strip() for p in Path("/proc/self/task").glob("*/comm")]
    return {"sum": np.asarray(a.sum()), "threads": np.array(names.count("tf_XLAEigen"))}


if __name__ == "__main__":
    options = json.loads(sys.argv[2])
    store = Store.create(tempfile.mkdtemp(), spec="", provenance={})
    jobs = [Job("0" * 16, "threads", i, str(i)) for i in range(2)]
    run_jobs(jobs, compute, store, executor(sys.argv[1], **options))
    print(*sorted({int(store.read(job.name)["threads"]) for job in jobs}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize(
    ("kind", "options", "threads"),
    [
        ("serial", "{}", "1"),
        ("threads", '{"workers": 3}', "3"),
        pytest.param("local", '{"workers": 2}', "1", marks=pytest.mark.slow),
    ],
)
def test_xla_has_as_many_threads_as_jobs_are_computed_at_once(tmp_path, kind, options, threads):
    script = tmp_path / "counted.py"
    script.write_text(COUNTED)
    clean = {k: v for k, v in os.environ.items() if k not in environment()}
    made = subprocess.run(
        [sys.executable, str(script), kind, options],
        capture_output=True,
        text=True,
        env=clean | {"JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == threads


def test_the_variable_of_a_process_is_left_as_it_was(monkeypatch):
    monkeypatch.delenv("NPROC", raising=False)
    with one_thread():
        assert os.environ["NPROC"] == "1"
    assert "NPROC" not in os.environ
    monkeypatch.setenv("NPROC", "7")
    with one_thread(3):
        assert os.environ["NPROC"] == "7"
    assert os.environ["NPROC"] == "7"
