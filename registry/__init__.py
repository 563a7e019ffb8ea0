"""All that touches the MLflow Model Registry: versions, evidence, gate, review, promotion. Imports qbias, never the reverse."""
