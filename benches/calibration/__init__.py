"""Calibration by simulation: data with a known truth, through the very functions that a study uses, and how often they are right.

`python -m benches.calibration` runs every simulation and writes docs/calibration.md with its figures.
"""
