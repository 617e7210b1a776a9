"""Which room may import which: imports go down the table, one way, and name everything by its one name, photochrom."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("worker", "producer", "training", "deploy")

BASE = {"worker.digest", "worker.errors", "worker.formats", "worker.version"}
"""What everybody may import: it imports nothing of ours."""

ROOMS: dict[str, set[str]] = {
    "deploy.cli": {"deploy.commands", "deploy.stack", "training.cli", "producer.client", "worker.cli"},
    "deploy.commands": {
        "deploy.bench", "deploy.demo", "training.runs", "producer.control", "worker.cli", "worker.queue",
        "worker.settings",
    },
    "deploy.bench": {
        "deploy.stack", "producer.records", "worker.coloring", "worker.inference", "worker.photo",
        "worker.photo.metadata", "worker.photo.base", "worker.ledger", "worker.s3", "worker.telemetry",
        "worker.settings",
    },
    "deploy.demo": {
        "deploy.stack", "training.runs", "training.promotion", "training.evaluation", "training.fit", "training.data",
        "training.recipe", "producer.records", "worker.models", "worker.s3", "worker.settings",
    },
    "deploy.buckets": {"worker.s3", "worker.settings"},
    "deploy.stack": {"worker.queue", "worker.s3", "worker.settings"},
    "training.study": {
        "training.evaluation", "training.fit", "training.data", "training.recipe", "training.metrics",
        "training.pictures", "worker.inference", "worker.models",
    },
    "training.cli": {
        "training.runs", "training.promotion", "training.evaluation", "training.fit", "training.data",
        "training.recipe", "training.pictures", "worker.cli", "worker.inference", "worker.queue", "worker.models",
        "worker.s3", "worker.settings",
    },
    "training.runs": {
        "training.promotion", "training.evaluation", "training.fit", "training.data", "training.who",
        "training.recipe", "worker.inference", "worker.queue", "worker.jobs", "worker.models", "worker.ledger",
        "worker.s3", "worker.process", "worker.settings",
    },
    "training.promotion": {"training.who", "worker.models", "worker.s3", "worker.settings"},
    "training.evaluation": {
        "training.data", "training.metrics", "training.pictures", "worker.coloring", "worker.inference",
        "worker.photo.base", "worker.s3", "worker.process", "worker.settings",
    },
    "training.fit": {
        "training.data", "training.recipe", "training.metrics", "training.pictures", "worker.inference",
        "worker.models", "worker.photo.base", "worker.process",
    },
    "training.data": {
        "training.metrics", "training.pictures", "worker.photo.base", "worker.s3", "worker.process", "worker.settings",
    },
    "training.who": set(),
    "training.recipe": set(),
    "training.metrics": set(),
    "training.pictures": set(),
    "producer.client": {
        "producer.control", "producer.records", "worker.cli", "worker.queue", "worker.jobs", "worker.ledger",
        "worker.s3", "worker.settings",
    },
    "producer.control": {
        "producer.records", "worker.queue", "worker.jobs", "worker.ledger", "worker.s3", "worker.telemetry",
        "worker.process",
    },
    "producer.records": {"worker.jobs", "worker.models", "worker.ledger", "worker.s3", "worker.settings"},
    "worker.cli": {
        "worker.coloring", "worker.inference", "worker.queue", "worker.jobs", "worker.models", "worker.photo",
        "worker.photo.jpeg", "worker.photo.metadata", "worker.photo.base", "worker.verify", "worker.process",
        "worker.settings", "worker.machine",
    },
    "worker.coloring": {
        "worker.inference", "worker.queue", "worker.jobs", "worker.models", "worker.photo", "worker.photo.jpeg",
        "worker.photo.metadata", "worker.photo.base", "worker.ledger", "worker.s3", "worker.telemetry",
        "worker.process", "worker.settings",
    },
    "worker.inference": {
        "worker.jobs", "worker.models", "worker.photo.base", "worker.telemetry", "worker.process", "worker.settings",
    },
    "worker.queue": {"worker.jobs", "worker.ledger", "worker.telemetry", "worker.process", "worker.settings"},
    "worker.jobs": {"worker.ledger", "worker.s3", "worker.settings"},
    "worker.models": {"worker.photo.base", "worker.s3", "worker.process", "worker.settings"},
    "worker.photo": {
        "worker.photo.tiff", "worker.photo.png", "worker.photo.jpeg", "worker.photo.metadata", "worker.photo.base",
        "worker.process",
    },
    "worker.photo.tiff": {"worker.photo.jpeg", "worker.photo.metadata", "worker.photo.base"},  # JPEG in TIFF
    "worker.photo.png": {"worker.photo.metadata", "worker.photo.base"},
    "worker.photo.jpeg": {"worker.photo.metadata", "worker.photo.base"},
    "worker.photo.metadata": {"worker.photo.base"},
    "worker.photo.base": set(),
    "worker.ledger": {"worker.settings"},
    "worker.s3": {"worker.process", "worker.settings"},
    "worker.telemetry": {"worker.settings"},
    "worker.verify": set(),
    "worker.process": set(),
    "worker.settings": {"worker.machine", "worker.setting_names"},
    "worker.setting_names": set(),
    "worker.machine": set(),
}  # fmt: skip
"""Each room and what it may import beside BASE, top first: whatever a room imports stands below it. A module that lies
beside rooms, such as `worker.settings`, is a room of its own."""

INFERENCE = {f"worker.models.{name}" for name in ("folding", "forms", "on_openvino", "on_torch", "predictor")}
"""They compute, and belong to `worker.inference`; the folder is that of what a model is."""

PROGRAMS = {"photochrom.deploy.cli"}
"""Names in strings that are started as processes of their own, and not imported."""

FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "docker" not in path.parts  # a program of its own, which imports nothing of ours
}
"""Every module by its name without `photochrom.`."""

NAMED = re.compile(r"\bphotochrom((?:\.[A-Za-z_]\w*)+)")
FORBIDDEN = re.compile(rf"(?<![\w.])(?:from|import) (?:{'|'.join(FOLDERS)})\b")


def room_of(module: str) -> str:
    if module in INFERENCE:
        return "worker.inference"
    return max((room for room in ROOMS if f"{module}.".startswith(f"{room}.")), key=len, default=module)


def module_of(dotted: str) -> str | None:
    """The module that a dotted name begins with: `worker.errors` of `worker.errors.ImageFault`."""
    parts = dotted.split(".")
    names = (".".join(parts[:count]) for count in range(len(parts), 1, -1))
    return next((name for name in names if name in FILES), None)


def named_by(source: str) -> set[str]:
    """The modules that a file names: in imports, wherever they stand, and in strings that are no docstrings."""
    tree = ast.parse(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    dotted = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            dotted += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            dotted += [match[0] for match in NAMED.finditer(node.value)] if node.value not in PROGRAMS else []
    ours = (name.removeprefix("photochrom.") for name in dotted if name.startswith("photochrom."))
    return {module for name in ours if (module := module_of(name))}


def imported_at_once(source: str) -> set[str]:
    """The modules that are imported when a file is: not those in functions, nor for type checkers."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= named_by(ast.unparse(node))
    return found


def arrows() -> dict[str, dict[str, set[str]]]:
    """Room -> room that it names -> where, without what everybody may name."""
    found: dict[str, dict[str, set[str]]] = {}
    for module, path in FILES.items():
        for other in named_by(path.read_text()):
            here, there = room_of(module), room_of(other)
            if here != there and there not in BASE:
                found.setdefault(here, {}).setdefault(there, set()).add(f"{module} -> {other}")
    return found


def test_rooms_name_only_what_they_may() -> None:
    wrong = [
        f"{here} may not name {there}: {', '.join(sorted(places))}"
        for here, others in arrows().items()
        for there, places in others.items()
        if there not in ROOMS.get(here, set())
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_allows_nothing_that_is_not_needed() -> None:
    found = arrows()
    assert not [(room, other) for room, others in ROOMS.items() for other in others - found.get(room, {}).keys()]


def test_every_arrow_of_the_table_goes_down() -> None:
    floors = {room: floor for floor, room in enumerate(ROOMS)}
    up = [f"{room} -> {other}" for room, others in ROOMS.items() for other in others if floors[other] < floors[room]]
    assert not up


def test_what_everybody_may_import_imports_nothing_of_ours() -> None:
    assert {module: named_by(FILES[module].read_text()) for module in BASE} == {module: set() for module in BASE}


def test_every_module_is_in_a_room() -> None:
    packages = {name for name, path in FILES.items() if path.name == "__init__.py" and not path.read_text().strip()}
    assert {room_of(name) for name in FILES.keys() - packages} <= ROOMS.keys() | BASE


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: imported_at_once(path.read_text()) - {name} for name, path in FILES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_everything_is_named_by_its_one_name() -> None:
    """Who stands in the checkout could import `worker` as well: a second copy of each module."""
    wrong = []
    for path in [*FILES.values(), *sorted((ROOT / "tests").rglob("*.py")), *sorted(ROOT.glob("*.md"))]:
        if path != Path(__file__):
            lines = enumerate(path.read_text().splitlines(), 1)
            wrong += [f"{path.relative_to(ROOT)}:{number}: {line}" for number, line in lines if FORBIDDEN.search(line)]
    for path in sorted((ROOT / "docs").glob("*.md")):
        wrong += [f"{path.name}: {match[0]}" for match in FORBIDDEN.finditer(path.read_text())]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("from photochrom.worker.errors import ImageFault", {"worker.errors"}),
        ("def f():\n    import photochrom.worker.settings", {"worker.settings"}),
        ("from photochrom.worker.s3 import store", {"worker.s3.store"}),
        ("consumer = 'photochrom.worker.errors:ImageFault'", {"worker.errors"}),
        ("'''see photochrom.worker.errors'''", set()),
        ("queue = 'photochrom.control'", set()),
    ],
)
def test_names_are_found_in_imports_and_strings(source: str, named: set[str]) -> None:
    assert named_by(source) == named
