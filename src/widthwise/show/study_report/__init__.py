"""The report of a study over a grid: one HTML page from its labelled results."""

from widthwise.show.study_report.page import write_study_report as write_study_report
