"""The audit of a saved model: what a quantizer did to it, measured beside its float baseline on a fixed probe set.

`audit_of(baseline, saved)` gives an Audit; `METRICS` says what each number means. Importing this imports no runtime.
A figure that cannot be had is named with the reason in `Audit.insufficient`; it is never replaced by another number.
"""

from qbias.audit.measured import audit_of
from qbias.audit.record import Audit, LayerRow
from qbias.audit.table import METRICS

__all__ = ["METRICS", "Audit", "LayerRow", "audit_of"]
