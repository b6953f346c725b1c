"""A study as a whole: its jobs, its plan, its state, its labelled results and their files."""

from widthwise.experiments.studies.plan import Plan as Plan
from widthwise.experiments.studies.status import Status as Status
