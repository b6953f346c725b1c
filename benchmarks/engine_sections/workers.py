"""Processes that are measured in turn, on one core, so that all see the same machine.

A worker is a script that answers every line it reads with one line of JSON. It runs on one core,
with one thread, and in float64 by its own doing.
"""

import json
import os
import subprocess
from pathlib import Path

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "JAX_PLATFORMS": "cpu",
}


class Worker:
    """A measured process.

    Args:
        python: the interpreter.
        script: the file it runs.
        arguments: of the script.
        core: the core it may use.
    """

    def __init__(self, python: str | Path, script: Path, *arguments: str, core: int = 0):
        command = [str(python), str(script), *arguments]
        self.process = subprocess.Popen(
            command,
            env=os.environ | ONE_THREAD,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.process.pid, {core})

    def ask(self, question: str):
        """The answer to one line."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(question + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            _, complaint = self.process.communicate()
            raise RuntimeError((complaint.strip().splitlines() or ["no message"])[-1])
        return json.loads(answer)

    def close(self):
        if self.process.poll() is None:
            self.process.communicate()
