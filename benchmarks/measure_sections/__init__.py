"""Sections of benchmarks/measures.py, one file each."""
