"""What asks S3 and Redis alone needs neither torch nor codecs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAVY = {
    "torch", "torchvision", "numpy", "PIL", "cv2", "imagecodecs", "lxml", "safetensors", "skimage", "sklearn",
    "imagehash", "matplotlib", "openvino",
}  # fmt: skip

LIGHT = [
    *(f"photochrom.worker.{name}" for name in ("settings", "errors", "formats", "s3.store", "queue.app")),
    *(f"photochrom.worker.{name}" for name in ("jobs.messages", "jobs.quarantine", "jobs.allowed", "ledger.ledger")),
    *(
        "photochrom.worker.s3.state_keys",
        "photochrom.worker.ledger.keys",
        "photochrom.worker.process.shutdown",
        "photochrom.worker.cli.commands",
        "photochrom.worker.models.registry",
    ),
    *(
        "photochrom.worker.queue.message_guard",
        "photochrom.worker.machine",
        "photochrom.worker.cli.tuning",
        "photochrom.worker.cli.explain",
        "photochrom.worker.telemetry.stages",
    ),
    *(
        "photochrom.worker.ledger.connection",
        "photochrom.worker.jobs.context",
        "photochrom.worker.jobs.provenance",
        "photochrom.worker.cli.terminal",
        "photochrom.worker.models.card",
    ),
    *(f"photochrom.training.runs.{name}" for name in ("run_board", "records", "request", "schedule")),
    "photochrom.training.runs.scheduler_task",
    *(f"photochrom.training.cli.{name}" for name in ("evaluation", "models", "runs")),
    *("photochrom.training.promotion", "photochrom.training.recipe", "photochrom.training.evaluation.evaluation_set"),
    *(
        ".".join(("photochrom", *path.relative_to(ROOT).with_suffix("").parts))
        for path in sorted((ROOT / "producer").rglob("*.py"))
        if path.stem != "__init__"
    ),
]

WITHOUT_HEAVY = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ImportError(f"{{name}} is not installed here")
sys.meta_path.insert(0, Refuse())
"""


def python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_what_asks_s3_and_redis_alone_loads_neither_torch_nor_codecs():
    assert "photochrom.producer.control.tasks" in LIGHT
    loaded = f"import sys, {', '.join(LIGHT)}; print(*sorted({HEAVY} & sys.modules.keys()))"
    done = python(loaded)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_what_asks_s3_and_redis_alone_works_where_torch_and_codecs_are_not_installed():
    done = python(WITHOUT_HEAVY + "".join(f"import {name}\n" for name in LIGHT))
    assert done.returncode == 0, done.stderr


def test_the_blocker_of_these_tests_blocks():
    assert "is not installed here" in python(WITHOUT_HEAVY + "import photochrom.worker.inference.engine").stderr


@pytest.mark.parametrize("command", ["submit", "status", "control", "cancel", "redrive", "report", "models", "runs"])
def test_commands_that_submit_and_control_explain_themselves_without_torch(command):
    code = (
        f"sys.argv = ['photochrom', '{command}', '--help']\nimport photochrom.deploy.cli\nphotochrom.deploy.cli.main()"
    )
    done = python(WITHOUT_HEAVY + code)
    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


def test_help_loads_nothing_heavy():
    unwanted = HEAVY | {"celery", "boto3", "redis"}
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('LOADED', *sorted({unwanted} & sys.modules.keys())))\n"
        "sys.argv = ['photochrom', '--help']\n"
        "import photochrom.deploy.cli\nphotochrom.deploy.cli.main()"
    )
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "submit" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED"
