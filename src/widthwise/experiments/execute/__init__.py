"""Where jobs are computed, and the loop that computes and stores them."""

from widthwise.experiments.execute.build import EXECUTORS as EXECUTORS
from widthwise.experiments.execute.build import executor as executor
from widthwise.experiments.execute.executor import ExecutionError as ExecutionError
from widthwise.experiments.execute.executor import Executor as Executor
from widthwise.experiments.execute.executor import Session as Session
from widthwise.experiments.execute.outcome import Failed as Failed
from widthwise.experiments.execute.outcome import Finished as Finished
from widthwise.experiments.execute.progress import Progress as Progress
from widthwise.experiments.execute.progress import shown as shown
from widthwise.experiments.execute.progress import spoken as spoken
from widthwise.experiments.execute.run import Interrupted as Interrupted
from widthwise.experiments.execute.run import JobsFailed as JobsFailed
from widthwise.experiments.execute.run import Summary as Summary
from widthwise.experiments.execute.run import run_jobs as run_jobs
