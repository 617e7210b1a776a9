"""Run by the Python of an installation: executes what commands import when they are run, and prints what is missing.

Arguments are names of commands ("evaluation create") and of modules ("photochrom.worker.coloring.tasks"). Of a
command's function, and of those of its file that it calls, every import counts; of the modules that these import, those
within functions as well, but for those that may fail.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from photochrom.deploy import cli

Function = ast.FunctionDef | ast.AsyncFunctionDef
Statement = ast.Import | ast.ImportFrom


def of_command(name: str) -> Iterator[Statement]:
    """The imports of its function and of the functions of the same file that it calls."""
    command: Any = typer.main.get_command(cli.app)
    for word in name.split():
        command = command.commands[word]
    function = inspect.unwrap(command.callback)
    file = ast.parse(Path(inspect.getfile(function)).read_text())
    functions = {node.name: node for node in file.body if isinstance(node, Function)}
    called, reached = [function.__name__], set[str]()
    while called:
        here = called.pop()
        reached.add(here)
        nodes = list(ast.walk(functions[here]))
        yield from (node for node in nodes if isinstance(node, Statement))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        called += names & functions.keys() - reached


def of_module(name: str) -> Iterator[Statement]:
    """The imports within its functions."""
    file = ast.parse(Path(str(importlib.import_module(name).__file__)).read_text())
    may_fail = {inner for node in ast.walk(file) if isinstance(node, ast.Try) for inner in ast.walk(node)}
    for function in (node for node in ast.walk(file) if isinstance(node, Function)):
        for node in ast.walk(function):
            if isinstance(node, Statement) and node not in may_fail:
                yield node


def imported(statement: Statement) -> list[str]:
    """The modules of ours that it names."""
    names = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else [str(statement.module)]
    return [name for name in names if name.partition(".")[0] in cli.FOLDERS]


def check(name: str) -> None:
    """Raises ModuleNotFoundError for what is not there."""
    if "." in name:
        importlib.import_module(name)
        return
    for statement in of_command(name):
        execute(statement)
        for module in imported(statement):
            for inner in of_module(module):
                execute(inner)


def execute(statement: Statement) -> None:
    exec(compile(ast.Module([statement], []), "imports", "exec"), {})


if __name__ == "__main__":
    for name in sys.argv[1:]:
        try:
            check(name)
        except ModuleNotFoundError as error:
            print(f"{name}: {error.name}")
