"""A study over a grid as a value: :class:`StudySpec`, its :class:`Axis` and its :class:`GridPoint`.

A file has the sections ``[data]``, ``[network]``, ``[training]`` and ``[compute]`` of one grid
point, ``[grid]`` and ``[zip]`` with fields of these that take several values, and ``[budget]`` and
``[executor]``, on which no result depends.
"""

from widthwise.experiments.spec.study.axes import Axis as Axis
from widthwise.experiments.spec.study.point import GridPoint as GridPoint
from widthwise.experiments.spec.study.sections import QUANTITY_NAMES as QUANTITY_NAMES
from widthwise.experiments.spec.study.sections import STUDY_SECTIONS as STUDY_SECTIONS
from widthwise.experiments.spec.study.sections import StudyData as StudyData
from widthwise.experiments.spec.study.spec import StudySpec as StudySpec
