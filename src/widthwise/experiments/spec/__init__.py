"""A study as a value: what to compute, on which data, read from a TOML file.

A :class:`Spec` has three sections, ``[data]``, ``[network]`` and ``[study]``. It is frozen, every
default is filled in, and equal studies have equal content hashes, whatever the order of lines.

A file is checked as a whole and every wrong field is reported at once (:class:`SpecError`), in two
passes: each field by itself (:mod:`.sections`), then the relations between fields
(:mod:`.relations`), of which those are asked whose fields are right by themselves.
"""

from widthwise.experiments.spec.errors import Problem as Problem
from widthwise.experiments.spec.errors import SpecError as SpecError
from widthwise.experiments.spec.sections import NAMED_SETS as NAMED_SETS
from widthwise.experiments.spec.sections import DataSpec as DataSpec
from widthwise.experiments.spec.sections import NetworkSpec as NetworkSpec
from widthwise.experiments.spec.sections import StudySpec as StudySpec
from widthwise.experiments.spec.spec import Spec as Spec
