"""A study as a value: what to compute, on which data, read from a TOML file.

A :class:`Spec` compares theory with networks of some widths in one report and has three sections,
``[data]``, ``[network]`` and ``[study]``. A :class:`StudySpec` asks many quantities over a grid of
all fields (:mod:`.study`). Both are frozen, every default is filled in, and equal studies have
equal content hashes, whatever the order of lines.

A file is checked as a whole and every wrong field is reported at once (:class:`SpecError`), in two
passes: each field by itself (:mod:`.sections`), then the relations between fields
(:mod:`.relations`), of which those are asked whose fields are right by themselves.
"""

from widthwise.experiments.spec.errors import Problem as Problem
from widthwise.experiments.spec.errors import SpecError as SpecError
from widthwise.experiments.spec.sections import NAMED_SETS as NAMED_SETS
from widthwise.experiments.spec.sections import ComparisonSpec as ComparisonSpec
from widthwise.experiments.spec.sections import DataSpec as DataSpec
from widthwise.experiments.spec.sections import NetworkSpec as NetworkSpec
from widthwise.experiments.spec.sections import Points as Points
from widthwise.experiments.spec.spec import Spec as Spec
from widthwise.experiments.spec.study import Axis as Axis
from widthwise.experiments.spec.study import GridPoint as GridPoint
from widthwise.experiments.spec.study import StudyData as StudyData
from widthwise.experiments.spec.study import StudySpec as StudySpec
