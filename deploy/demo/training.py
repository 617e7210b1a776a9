"""Learning on a schedule, once, on this machine: a poor champion, a run that the schedule begins, a better challenger,
its promotion under working colorize workers, and the way back.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photochrom.deploy.demo.samples import sample_photographs
from photochrom.deploy.demo.training_page import Coloured, Moment, TrainingStory
from photochrom.deploy.demo.training_samples import judged_tiles, training_crops
from photochrom.deploy.stack.stack import Stack
from photochrom.worker.errors import WorkerFault
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location, Store
from photochrom.worker.settings import Settings

if TYPE_CHECKING:
    from photochrom.training.runs.records import Verdict

BUCKET = "photochrom-training-demo"
PHOTOGRAPHS, JUDGED, GRAY, COLOURED = "photographs", "judged", "gray", "coloured"
"""Prefixes in the bucket."""

EVALUATION = "demo"
STUCK_AFTER = 300.0  # seconds without any change
POLL = 0.5  # seconds between two looks
BETWEEN_SUBMISSIONS = 15.0  # seconds, while the run goes on: the training process wants a core, too
SHOWN = 5  # photographs on the page

CHAMPION: dict[str, Any] = {
    "epochs": 1,
    "images_per_epoch": 48,
    "batch": 8,
    "sides": (64,),
    "validation_side": 64,
    "warmup": 1,
}
"""A recipe that teaches next to nothing: a decoder that began at random saw six small batches."""

RUN: dict[str, Any] = {
    "epochs": 4, "images_per_epoch": 250, "batch": 10, "sides": (96, 128), "validation_side": 128, "warmup": 20,
    "encoder_blocks": [], "average": 0.95,
}  # fmt: skip
"""What the schedule runs: some 1,000 crops, minutes on two cores."""

ENVIRONMENT = {
    "PHOTOCHROM_CONTROL_INTERVAL": "0.5",
    "PHOTOCHROM_RECONCILE_INTERVAL": "2",
    "PHOTOCHROM_MODEL_INTERVAL": "1",
    "PHOTOCHROM_TRAINING_SCHEDULE": "* * * * *",
    "PHOTOCHROM_TRAINING_SOURCE": f"s3://{BUCKET}/{PHOTOGRAPHS}/",
    "PHOTOCHROM_TRAINING_EVALUATION": EVALUATION,
    "PHOTOCHROM_TRAINING_OVERRIDES": json.dumps(RUN),
    "PHOTOCHROM_TRAINING_STEP_SECONDS": "30",
}


class Demonstration:
    """What happened so far, and the stack that it happens on."""

    def __init__(self, stack: Stack, settings: Settings, out: Path, tell: Callable[[str], None]) -> None:
        from photochrom.training.promotion import Promotions
        from photochrom.training.runs.records import Runs

        self.stack, self.settings, self.out, self._tell = stack, settings, out, tell
        self.store = Store(settings)
        self.runs, self.promotions = Runs(self.store, settings), Promotions(self.store, settings)
        self.moments: list[Moment] = []
        self.submissions: list[str] = []
        self.submitted = 0.0
        self._started = time.monotonic()

    def note(self, text: str) -> None:
        """Something that happened just now."""
        self.moments.append(Moment(time.monotonic() - self._started, text))
        self._tell(text)

    def wait(self, condition: Callable[[], Any]) -> Any:
        """Wait until it gives something true, and give that back. Raises WorkerFault where nothing moves any more."""
        until = time.monotonic() + STUCK_AFTER
        while not (found := condition()):
            self.stack.check()
            if time.monotonic() > until:
                raise WorkerFault(f"nothing has happened for {STUCK_AFTER:.0f} s; see the logs in {self.stack.folder}")
            time.sleep(POLL)
        return found

    def submit(self, name: str) -> None:
        """Ask for all gray photographs to be coloured, under a name."""
        from photochrom.producer.records.submission import submit

        submit(f"s3://{BUCKET}/{GRAY}", f"s3://{BUCKET}/{COLOURED}/{name}", settings=self.settings, name=name)
        self.submissions.append(name)
        self.submitted = time.monotonic()

    def ended(self, name: str) -> bool:
        from photochrom.producer.records.progress import progress

        return progress(name, self.settings).ended

    def made_by(self, name: str) -> Counter[str]:
        """How many results of a submission each version made, by their own account."""
        place = Location(BUCKET, f"{COLOURED}/{name}/")
        found = (self.store.head(BUCKET, listed.key) for listed in self.store.list(place))
        return Counter(stored.metadata["model-sha256"] for stored in found)


def demonstrate_training(out: Path, tell: Callable[[str], None]) -> TrainingStory:
    """Show it, in minutes; `out` gets the pictures. `tell` hears of each moment. Raises WorkerFault where it fails."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        own = {"PHOTOCHROM_TRAINING_FOLDER": f"{folder}/training", "PHOTOCHROM_MODEL_CACHE": f"{folder}/models"}
        gray, coloured = f"s3://{BUCKET}/{GRAY}/", f"s3://{BUCKET}/{COLOURED}/"
        stack = Stack(read=[gray], write=[coloured], workers=0, control=False, environment={**ENVIRONMENT, **own})
        with stack, stack.exported() as settings:
            shown = Demonstration(stack, settings, out, tell)
            champion = _prepare(shown, Path(folder))
            verdict = _learn(shown)
            _go_back(shown, champion)
            return _story(shown, champion, verdict)


def _prepare(shown: Demonstration, folder: Path) -> str:
    """Photographs, a frozen evaluation set, and a champion that has learnt next to nothing; gives back its SHA-256."""
    from photochrom.training.evaluation.creation import create

    crops, tiles = list(training_crops()), list(judged_tiles())
    for prefix, found in ((PHOTOGRAPHS, crops), (JUDGED, tiles)):
        for crop in found:
            shown.store.put(BUCKET, f"{prefix}/{crop.key}", crop.data)
    for photograph in sample_photographs():
        if not photograph.broken:
            shown.store.put(BUCKET, f"{GRAY}/{photograph.key}", photograph.data)
    frozen = create(f"s3://{BUCKET}/{JUDGED}", EVALUATION, shown.store, shown.settings)
    shown.note(
        f"{len(crops)} crops of free sample photographs to learn from; {len(frozen.entries)} others, of parts of them "
        "that no crop has, are the frozen evaluation set"
    )
    champion = _poor_champion(shown, crops, folder)
    shown.note(f"a model that has learnt next to nothing is promoted: champion {champion[:12]}")
    shown.stack.start_worker("worker")
    shown.stack.start_control()
    shown.stack.start_training()
    shown.note("workers, control and training processes run; the schedule says: every minute")
    shown.submit("before")
    shown.wait(lambda: shown.ended("before"))
    shown.note("the champion has coloured the gray photographs")
    return champion


def _poor_champion(shown: Demonstration, crops: list[Any], folder: Path) -> str:
    from photochrom.training.data.photographs import collect
    from photochrom.training.fit.loop import train
    from photochrom.training.recipe import recipe_for
    from photochrom.worker.models.registry import DEFAULT_STARTER, starter

    few = folder / "few"
    few.mkdir()
    for crop in crops[::4]:
        (few / crop.key).write_bytes(crop.data)
    recipe = recipe_for(DEFAULT_STARTER, [], CHAMPION)
    train(recipe, collect(str(few), 0.3), folder / "poor", DEFAULT_STARTER, encoder=str(starter(DEFAULT_STARTER)))
    sha256 = shown.promotions.publish(folder / "poor" / "best.safetensors")
    shown.promotions.promote(sha256, "has learnt next to nothing")
    return sha256


def _learn(shown: Demonstration) -> Verdict:
    """Wait for the schedule's run, its end and its promotion, colouring meanwhile; gives back what became of it."""
    run = shown.wait(lambda: next(shown.runs.active(), None))
    shown.note(f"the schedule begins run {run.name}")
    seen = 0
    while run.position.status == "running":
        run = _after_a_look(shown, run)
        for figures in run.position.history[seen:]:
            shown.note(
                f"epoch {figures['epoch']:.0f}: loss {figures['training_loss']:.3f}, CIEDE2000 "
                f"{figures['ciede2000']:.2f}, PSNR {figures['psnr']:.2f} dB on the half that selects"
            )
        seen = len(run.position.history)
    verdict: Verdict | None = run.position.verdict
    if verdict is None or not verdict.sequence:
        raise WorkerFault(f"run {run.name} {run.position.status} without a promotion: {run.position.why or verdict}")
    shown.note(f"the challenger passes the gate: promotion {verdict.sequence}, {verdict.challenger[:12]}")
    for path in ("dataset.png", "curve.png", "differences.png", "judgement.md"):
        stored = shown.store.get(shown.settings.state_bucket, state_keys.run(run.name, path))
        (shown.out / path).write_bytes(stored.data)
    _until_served(shown, verdict.challenger, "promoted")
    return verdict


def _after_a_look(shown: Demonstration, run: Any) -> Any:
    """The run once it has moved; meanwhile workers colour one submission after another."""

    def moved() -> Any:
        if time.monotonic() - shown.submitted > BETWEEN_SUBMISSIONS and shown.ended(shown.submissions[-1]):
            shown.submit(f"during-{len(shown.submissions)}")
        now = shown.runs.load(run.name)
        return now if now.position != run.position else None

    return shown.wait(moved)


def _until_served(shown: Demonstration, sha256: str, name: str) -> None:
    """Submit until a whole submission was made by that version."""
    for number in range(1000):
        for another in shown.runs.active():  # the schedule goes on, and one run is enough
            shown.runs.stop(another.name)
        this = f"{name}-{number}"
        shown.submit(this)
        shown.wait(partial(shown.ended, this))
        if set(shown.made_by(this)) == {sha256}:
            break
    shown.note(f"the workers have taken it over: {sha256[:12]} colours all that comes now")


def _go_back(shown: Demonstration, champion: str) -> None:
    shown.promotions.rollback("to show it")
    shown.note(f"rollback: {champion[:12]} is promoted again")
    _until_served(shown, champion, "rolled-back")


def _story(shown: Demonstration, champion: str, verdict: Verdict) -> TrainingStory:
    from photochrom.producer.records.progress import progress

    ended = [progress(name, shown.settings) for name in shown.submissions]
    made_by = {name: shown.made_by(name) for name in shown.submissions}
    table = (shown.out / "judgement.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if line.startswith("|")]
    promoted = next(name for name, made in made_by.items() if set(made) == {verdict.challenger})
    return TrainingStory(
        moments=shown.moments,
        champion=champion,
        challenger=verdict.challenger,
        curve=shown.out / "curve.png",
        dataset=shown.out / "dataset.png",
        judgement=[row for row in rows if set("".join(row)) - set("-")],
        reasons=verdict.reasons,
        differences=shown.out / "differences.png",
        photographs=_photographs(shown, promoted),
        coloured=sum(now.done for now in ended),
        failed=sum(now.total - now.done for now in ended),
        by_version=sum(made_by.values(), Counter()),
    )


def _photographs(shown: Demonstration, promoted: str) -> list[Coloured]:
    found = []
    for listed in shown.store.list(Location(BUCKET, f"{GRAY}/")):
        name = listed.key.removeprefix(f"{GRAY}/")
        if not name.endswith(".jpg"):
            continue
        files = []
        for submission in ("before", promoted, shown.submissions[-1]):
            path = shown.out / submission / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(shown.store.get(BUCKET, f"{COLOURED}/{submission}/{name}").data)
            files.append(path)
        found.append(Coloured(name.partition(".")[0], *files))
    return found[:SHOWN]
