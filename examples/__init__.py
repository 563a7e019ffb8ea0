"""Benchmarks of one's own: each YAML file here runs as it is, and every key of it is explained where it stands."""
