"""The commands that supply what is missing, spelled so that they can be pasted into a shell."""

import shlex


def _command(verb: str, **parameters: str) -> str:
    parts = [f"-P {name}={shlex.quote(value)}" for name, value in parameters.items()]
    return " ".join([f"mlflow run . -e {verb}", *parts])


def register_command(model: str) -> str:
    """Registers the baseline and every quantized version of a model."""
    return _command("register", model=model)


def evaluate_command(model: str, version: str) -> str:
    """Evaluates one version on every benchmark."""
    return _command("evaluate", model=f"models:/{model}/{version}")


def compare_command(model: str) -> str:
    """Compares every quantized version of a model with its baseline."""
    return _command("compare", models=model)


def review_command(model: str, version: str) -> str:
    """Approves one version; reviewer and reason are for the person to write."""
    decided = _command("review", model=f"models:/{model}/{version}", decision="approve")
    return f"{decided} -P reviewer='<your name>' -P reason='<why>'"
