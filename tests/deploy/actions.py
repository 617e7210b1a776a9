"""The stable names of what happens, as log lines carry them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.findings import ROOT

CODE = ("worker", "producer", "training")
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}


def actions(root: Path = ROOT) -> set[str]:
    """Every action that a log line of the code may have: "action" of a dict, the first argument of `_extra`, or what
    an `Outage` is told.
    """
    found = set()
    for _, tree in _trees(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                found |= {_text(value) for key, value in pairs if key is not None and _text(key) == "action"}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_extra":
                found.add(_text(node.args[0]))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Outage":
                found |= {_text(word.value) for word in node.keywords if word.arg in ("action", "back")}
    return found - {""}


def without_action(root: Path = ROOT) -> list[str]:
    """Where the code logs a line with no `extra`, as path:line."""
    return [
        f"{path.relative_to(root)}:{node.lineno}"
        for path, tree in _trees(root)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in LEVELS
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "log"
        and not any(word.arg == "extra" for word in node.keywords)
    ]


def _trees(root: Path) -> Iterator[tuple[Path, ast.Module]]:
    for folder in CODE:
        for path in sorted((root / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text())


def _text(node: ast.AST) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""
