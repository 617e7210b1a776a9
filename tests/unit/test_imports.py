"""Arrows go one way, and what asks S3 and Redis alone needs neither torch nor codecs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MAY_IMPORT = {
    "worker": {"worker"},
    "producer": {"producer", "worker"},
    "training": {"training", "worker"},
    "deploy": {"deploy", "producer", "training", "worker"},
}

HEAVY = {
    "torch", "torchvision", "numpy", "PIL", "cv2", "imagecodecs", "lxml", "safetensors", "skimage", "sklearn",
    "imagehash", "matplotlib", "openvino",
}  # fmt: skip

LIGHT = [
    *(f"worker.{name}" for name in ("settings", "errors", "store", "app", "job", "ledger", "outcomes", "allowed")),
    *("worker.paths", "worker.keys", "worker.drain", "worker.commands", "worker.models.registry"),
    *("worker.gate", "worker.machine", "worker.tuning", "worker.explain", "worker.stages"),
    *("worker.connection", "worker.resources", "worker.provenance", "worker.terminal", "worker.models.card"),
    *(f"training.runs.{name}" for name in ("board", "records", "request", "schedule", "ticks")),
    *(f"training.{name}_commands" for name in ("evaluation", "model", "run")),
    *("training.promotion", "training.recipe", "training.judging.evaluation_set"),
    *(f"producer.{path.stem}" for path in sorted((ROOT / "producer").glob("*.py")) if path.stem != "__init__"),
]

WITHOUT_HEAVY = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ImportError(f"{{name}} is not installed here")
sys.meta_path.insert(0, Refuse())
"""


def sources(folder):
    return sorted((ROOT / folder).rglob("*.py"))


def imported_roots(path):
    """First parts of the names of all modules that a file imports, in functions and for type checkers as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module.partition(".")[0]


def python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_what_lies_below_it(folder):
    files = sources(folder)
    assert files
    for path in files:
        ours = set(imported_roots(path)) & MAY_IMPORT.keys()
        assert ours <= MAY_IMPORT[folder], f"{path} imports {ours - MAY_IMPORT[folder]}"


def test_what_asks_s3_and_redis_alone_loads_neither_torch_nor_codecs():
    assert "producer.control" in LIGHT
    loaded = f"import sys, {', '.join(LIGHT)}; print(*sorted({HEAVY} & sys.modules.keys()))"
    done = python(loaded)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_what_asks_s3_and_redis_alone_works_where_torch_and_codecs_are_not_installed():
    done = python(WITHOUT_HEAVY + "".join(f"import {name}\n" for name in LIGHT))
    assert done.returncode == 0, done.stderr


def test_the_blocker_of_these_tests_blocks():
    assert "is not installed here" in python(WITHOUT_HEAVY + "import worker.engine").stderr


@pytest.mark.parametrize("command", ["submit", "status", "control", "cancel", "redrive", "report", "models", "runs"])
def test_commands_that_submit_and_control_explain_themselves_without_torch(command):
    code = f"sys.argv = ['photochrom', '{command}', '--help']\nimport deploy.cli\ndeploy.cli.main()"
    done = python(WITHOUT_HEAVY + code)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


def test_help_loads_nothing_heavy():
    unwanted = HEAVY | {"celery", "boto3", "redis"}
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('LOADED', *sorted({unwanted} & sys.modules.keys())))\n"
        "sys.argv = ['photochrom', '--help']\n"
        "import deploy.cli\ndeploy.cli.main()"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "submit" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED"
