"""Laws as objects to compare: distances between them, measured, exact and predicted, and rates."""
