"""The figures the report and the explorer share: plain arrays in, a plotly figure out.

One meaning, one color, in every figure (distinguishable with any color vision, and by line style):

==============  ============  ===========================================================
grey-blue       solid         the infinite-width limit: Gaussian process, linear flow
orange          dashed        theory corrected for finite width
teal            markers       real networks, with error bars of one standard error
black           dotted        labels
==============  ============  ===========================================================

Figures carry no title: the page around them has headings. They adapt to the width of their
container and never ask for anything from the network; formulas are Unicode and <sup>, not LaTeX.
"""

from widthwise.show.figures.against_width import deviation as deviation
from widthwise.show.figures.against_width import distance as distance
from widthwise.show.figures.against_width import fourth_cumulant as fourth_cumulant
from widthwise.show.figures.distances import distance_in_time as distance_in_time
from widthwise.show.figures.distances import distance_in_width as distance_in_width
from widthwise.show.figures.in_training import deviation_in_time as deviation_in_time
from widthwise.show.figures.in_training import mean_shift as mean_shift
from widthwise.show.figures.in_training import spectrum as spectrum
from widthwise.show.figures.in_training import trajectory as trajectory
from widthwise.show.figures.output_law import bin_error as bin_error
from widthwise.show.figures.output_law import density as density
from widthwise.show.figures.style import CONFIG as CONFIG
from widthwise.show.figures.style import CORRECTED as CORRECTED
from widthwise.show.figures.style import FONT as FONT
from widthwise.show.figures.style import HEIGHT as HEIGHT
from widthwise.show.figures.style import LABEL as LABEL
from widthwise.show.figures.style import LIMIT as LIMIT
from widthwise.show.figures.style import NARROW as NARROW
from widthwise.show.figures.style import NETWORKS as NETWORKS
from widthwise.show.figures.style import TEMPLATE as TEMPLATE
from widthwise.show.figures.style import WIDE as WIDE
