"""Tests over models: the paper's paired t-test, and corrections for making many of them. numpy, scipy and statsmodels only.

Every result is a frozen record that keeps the numbers it was made from.
"""

from qbias.significance.multiplicity import Corrected, FirstStep, corrected, first_step
from qbias.significance.paired import NEEDED, PairedTest, paired_t
from qbias.significance.records import AnalysisPlan, Endpoint, Margin

__all__ = ["AnalysisPlan", "Endpoint", "Margin", "NEEDED", "Corrected", "FirstStep", "PairedTest", "corrected", "first_step", "paired_t"]
