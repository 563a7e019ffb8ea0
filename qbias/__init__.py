"""qbias: the fairness review for quantized CLIP models, on MLflow.

Importing this package imports nothing heavy: torch, transformers and mlflow are imported by the modules that use them.
"""

__version__ = "0.1.0"
