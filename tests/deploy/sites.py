"""Where the code asks S3: the places that stand in it, and those that were come by."""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from photochrom.worker.s3.store import Store
from tests.deploy.recorded import Recorder

PACKAGES = ("producer", "training", "worker")
METHODS = {name for name, member in vars(Store).items() if callable(member) and not name.startswith("_")}
"""Of the store; nothing else speaks to S3."""


def sites(root: Path) -> set[tuple[str, int]]:
    """The files, as from the root, and lines where a method of the store is named. A `store` or `_store` is one."""
    return {
        (path.relative_to(root).as_posix(), node.end_lineno or node.lineno)
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in METHODS and _is_store(node.value)
    }


def _is_store(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_") == "store"


@contextmanager
def listening(root: Path, recorder: Recorder, patch: Any) -> Iterator[set[tuple[str, int]]]:
    """The files and lines of the packages from which the store is asked meanwhile, while a role is acting."""
    heard: set[tuple[str, int]] = set()

    def listened(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def asked(*arguments: Any, **options: Any) -> Any:
            frame = sys._getframe(1)
            file = Path(frame.f_code.co_filename).resolve()  # photochrom/ holds links to the folders
            ours = any(file.is_relative_to(root / package) for package in PACKAGES)
            if recorder.role and ours and file != root / "worker" / "s3" / "store.py":  # which asks itself, too
                heard.add((file.relative_to(root).as_posix(), frame.f_lineno))
            return method(*arguments, **options)

        return asked

    with patch.context() as within:
        for name in METHODS:
            within.setattr(Store, name, listened(vars(Store)[name]))
        yield heard
