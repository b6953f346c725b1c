"""One study as one HTML file that works offline, prints, and reads aloud.

:func:`write_report` writes it: the verdict in words, what was computed, the figures with captions,
every number with its error, the methods in brief, and how to compute all of it again. The page
holds everything it needs (plotly.js once, styles, data) and its content security policy forbids it
to ask for anything else. A program reads the table from ``<script id="widthwise-figures">``.
"""

from widthwise.show.report.page import render as render
from widthwise.show.report.page import write_report as write_report
