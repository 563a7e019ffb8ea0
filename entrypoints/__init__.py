"""One file per verb: read parameters, call one function, log. Run as `mlflow run . -e <verb>` or `python -m entrypoints.<verb>`."""
