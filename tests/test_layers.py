"""The import rules of the design, read from the source without running it; and proof that each rule can be broken and is noticed."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
OURS = ("qbias", "registry", "entrypoints")
ALIAS_CALLS = {"set_registered_model_alias", "delete_registered_model_alias"}


@dataclass(frozen=True)
class Rule:
    """Modules below `where`, less `apart_from`, import none of `forbidden`; `deep` follows imports of our own modules."""

    where: str
    forbidden: tuple[str, ...]
    apart_from: tuple[str, ...] = ()
    deep: bool = False


HEAVY = ("torch", "mlflow", "transformers")
RULES = (
    Rule("qbias.metrics", HEAVY, deep=True),
    Rule("qbias.significance", HEAVY, deep=True),
    Rule("qbias", ("mlflow",), apart_from=("qbias.evaluator", "qbias.pyfunc")),
    Rule("qbias", ("registry", "entrypoints")),
    Rule("registry", ("entrypoints",)),
    Rule("registry.gate", ("mlflow",), deep=True),
    Rule("registry.policy", ("mlflow",), deep=True),
    Rule("registry.policies", ("mlflow",), deep=True),
    Rule("registry.weighing", ("mlflow",), deep=True),
    *(Rule(f"qbias.{name}", ("torch", "transformers")) for name in ("outcomes", "measure", "pairing", "report")),
)


def module_name(root: Path, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path) -> dict[str, ast.Module]:
    """Every module of ours below `root`, by its dotted name."""
    files = (file for top in OURS for file in sorted((root / top).rglob("*.py")))
    return {module_name(root, file): ast.parse(file.read_text(encoding="utf-8")) for file in files}


def _only_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports anywhere, inside functions too; not those for type checkers only."""
    for node in ast.iter_child_nodes(tree):
        if _only_for_types(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a module comes from: write the whole name"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))
        yield from imported(node)


def below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def reached(start: str, trees: dict[str, ast.Module], *, deep: bool) -> dict[str, str]:
    """What a module imports -> the module of ours that imports it."""
    found: dict[str, str] = {}
    waiting, seen = [start], {start}
    while waiting:
        here = waiting.pop()
        for name in imported(trees[here]):
            found.setdefault(name, here)
            parents = {".".join(name.split(".")[:depth]) for depth in range(1, name.count(".") + 2)}
            new = {parent for parent in parents if deep and parent in trees} - seen
            seen |= new
            waiting += sorted(new)
    return found


def violations(root: Path, rules: tuple[Rule, ...] = RULES) -> list[str]:
    """Every import that breaks a rule, in words."""
    trees, broken = sources(root), []
    for rule in rules:
        for module in trees:
            if below(module, rule.where) and not any(below(module, name) for name in rule.apart_from):
                for name, importer in reached(module, trees, deep=rule.deep).items():
                    if any(below(name, forbidden) for forbidden in rule.forbidden):
                        broken.append(f"{module} must not import {name} (imported by {importer})")
    return broken


def alias_movers(root: Path) -> set[str]:
    """Modules in which the name of a call that moves an alias stands: as an attribute, a name or a string."""
    movers = set()
    for module, tree in sources(root).items():
        for node in ast.walk(tree):
            said = {getattr(node, field, None) for field in ("attr", "id", "name") if isinstance(getattr(node, field, None), str)}
            said |= {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()
            if said & ALIAS_CALLS:
                movers.add(module)
    return movers


def test_the_project_keeps_its_layers() -> None:
    assert violations(PROJECT) == []


def test_the_rules_are_about_modules_that_exist() -> None:
    trees = sources(PROJECT)
    absent = [name for rule in RULES for name in (rule.where, *rule.apart_from) if not any(below(m, name) for m in trees)]
    assert absent == []


def test_only_promote_moves_an_alias() -> None:
    assert alias_movers(PROJECT) == {"registry.promote"}


def planted(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("qbias/metrics/skew.py", "import torch.nn"),
        ("qbias/metrics/skew.py", "def late():\n    from transformers import CLIPModel"),
        ("qbias/significance/paired.py", "import mlflow"),
        ("qbias/significance/paired.py", "import importlib\nimportlib.import_module('torch')"),
        ("qbias/report/tables.py", "from mlflow import MlflowClient"),
        ("qbias/outcomes.py", "import torch"),
        ("qbias/models.py", "import registry.versions"),
        ("qbias/models.py", "from entrypoints import register"),
        ("registry/inspection.py", "import entrypoints.inspect"),
        ("registry/gate.py", "from mlflow import MlflowClient"),
    ],
)
def test_a_broken_rule_is_noticed(tmp_path: Path, path: str, text: str) -> None:
    found = violations(planted(tmp_path, {path: text}))
    assert found
    assert all(module_name(tmp_path, tmp_path / path) in row for row in found)


def test_an_import_through_a_module_of_ours_is_noticed(tmp_path: Path) -> None:
    files = {"qbias/metrics/gap.py": "from qbias.helper import x", "qbias/helper.py": "from qbias import engine"}
    root = planted(tmp_path, files | {"qbias/engine.py": "import torch"})
    assert violations(root) == ["qbias.metrics.gap must not import torch (imported by qbias.engine)"]


@pytest.mark.parametrize(
    "text",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from mlflow.entities import Run",
        "import mlflow_like_name",
        "'mlflow'",
    ],
)
def test_what_is_no_import_is_let_be(tmp_path: Path, text: str) -> None:
    assert violations(planted(tmp_path, {"registry/gate.py": text})) == []


@pytest.mark.parametrize(
    "text",
    [
        "client.set_registered_model_alias('m', 'champion', '1')",
        "from x import delete_registered_model_alias\ndelete_registered_model_alias('m', 'champion')",
        "from x import set_registered_model_alias as quiet\nquiet('m', 'champion', '1')",
        "getattr(client, 'set_registered_model_alias')('m', 'a', '1')",
    ],
)
def test_another_mover_of_aliases_is_noticed(tmp_path: Path, text: str) -> None:
    assert alias_movers(planted(tmp_path, {"entrypoints/promote.py": text})) == {"entrypoints.promote"}


@pytest.mark.parametrize("module", ["registry.gate", "registry.policies", "qbias", "qbias.quantizers"])
def test_light_modules_stay_light(module: str) -> None:
    code = f"import sys, {module}; print([n for n in ('torch', 'mlflow', 'transformers') if n in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
