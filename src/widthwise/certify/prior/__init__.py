"""Widths at which random networks are certified, before any of them is drawn."""
