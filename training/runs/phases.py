"""The three phases of a training run, each as one step of it: prepare, train, judge.

Each takes the run as it was read and gives back the position that it came to; what it is cut off from is done again.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from photochrom.training.data.cache import Cache
from photochrom.training.data.collection import Collection, open_collection
from photochrom.training.data.manifest import Manifest, NotPreparedError, freeze
from photochrom.training.data.prepare import prepare as fill
from photochrom.training.data.report import write_report
from photochrom.training.data.source import list_source
from photochrom.training.evaluation.comparison import Judgement, write_sheet
from photochrom.training.evaluation.comparison import judge as compare
from photochrom.training.evaluation.promotion_gate import Gate
from photochrom.training.evaluation.squares import squares_of
from photochrom.training.fit.loop import train as learn
from photochrom.training.fit.state import FILE, read_position
from photochrom.training.promotion import OvertakenError, Promotions
from photochrom.training.runs import snapshots
from photochrom.training.runs.context import Desk, Interrupted, Watch
from photochrom.training.runs.records import Position, Run, Verdict
from photochrom.training.runs.request import FROM_ENCODER
from photochrom.worker.errors import WorkerFault
from photochrom.worker.inference.engine import Engine
from photochrom.worker.models.registry import Pointer, Promotion
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Listed, NotFoundError


def prepare(run: Run, desk: Desk) -> Position:
    """Photographs into the cache; when all of them are there, the data set is frozen."""
    request, watch = run.request, Watch(run, desk)
    with desk.cache() as cache:
        listing = _listing(run, cache, desk)
        if not fill(request.source, listing, cache, desk.store, watch.over, watch.count):
            return run.position
        kept_out = desk.evaluation_set(run).entries if request.evaluation else ()
        share = 0.0 if request.evaluation else request.recipe.validation_share
        try:
            manifest = freeze(request.source, listing, cache, share, kept_out, watch.count)
        except NotPreparedError:  # another run forgot what could not be fetched, to try it again
            return run.position
        desk.put_once(run, "dataset.jsonl", manifest.dump())
        for path in write_report(manifest, cache, desk.folder(run)):
            desk.put(run, path.name, path.read_bytes())
    return run.position.moved(phase="train")


def train(run: Run, desk: Desk) -> Position:
    """Some minutes of the training loop, from the state that it left."""
    request, folder, watch = run.request, desk.folder(run), Watch(run, desk)
    snapshots.bring(run, folder, desk.store, desk.settings)
    with desk.cache() as cache:
        photographs = _photographs(run, cache, watch, desk)
        if photographs is None:
            return run.position
        start = None if request.start == FROM_ENCODER else desk.registry.weights(request.start)
        watch = Watch(run, desk)  # opening a large data set takes its time
        card = learn(
            request.recipe, photographs, folder, request.model, request.encoder or None, watch.tell, start, watch.over
        )
    state = read_position(folder / FILE)
    if state is None:
        raise WorkerFault(f"the state of run {run.name} is gone from {folder}")
    for path in sorted(folder.glob("*.png")):
        if path.name == "curve.png" or path.stem > f"epoch-{run.position.epoch:03d}":
            desk.put(run, path.name, path.read_bytes())
    position = run.position.moved(epoch=state.epoch, step=state.step, history=state.history)
    if card or watch.cut_short() or (position.steps + 1) % desk.settings.training_save_steps == 0:
        position = position.moved(copies=snapshots.save(run, folder, desk.store, desk.settings))
    return position.moved(phase="judge") if card else position


def judge(run: Run, desk: Desk) -> Position:
    """The best checkpoint against the champion of this moment, and its promotion if it passes the gate."""
    folder = desk.folder(run)
    snapshots.bring(run, folder, desk.store, desk.settings)
    weights, promotions = folder / "best.safetensors", Promotions(desk.store, desk.settings)
    challenger, pointer = Engine.load(weights), promotions.registry.pointer()
    if before := _promoted_before(run, challenger, pointer, promotions):
        return _ended(run, before)
    if not run.request.evaluation:
        promotions.publish(weights)
        return _ended(run, _verdict(challenger, pointer, ["there is no evaluation set to judge it by"]))
    judgement = _judgement(run, challenger, pointer, desk)
    promotions.publish(weights, judgement.summary())
    promotion = None
    if judgement.promote and run.request.promote:
        if desk.is_moved(run):
            raise Interrupted
        why = _why(run) + "; ".join(judgement.reasons)
        try:
            promotion = promotions.promote(challenger.card.sha256, why, judgement.figures, expected=pointer)
        except OvertakenError:  # it is held against the new champion, in the next step
            return run.position
    return _ended(run, _verdict(challenger, pointer, judgement.reasons, judgement.figures, promotion))


def _judgement(run: Run, challenger: Engine, pointer: Pointer, desk: Desk) -> Judgement:
    """That of the half of the evaluation set which alone decides, with its pictures and tables written."""
    photographs = squares_of(desk.evaluation_set(run), "decide", desk.store, desk.settings)
    champion = Engine.load(desk.registry.weights(pointer.promotion.sha256))
    judgement = compare(champion, challenger, photographs, Gate.of(desk.settings), Watch(run, desk).count)
    sheet = desk.folder(run) / "differences.png"
    if judgement.evaluation:
        write_sheet(judgement, sheet)
        desk.put(run, sheet.name, sheet.read_bytes())
    desk.put(run, "judgement.md", judgement.table().encode())
    desk.put(run, "judgement.json", json.dumps(judgement.summary()).encode())
    return judgement


def _ended(run: Run, verdict: Verdict) -> Position:
    return run.position.moved(status="ended", verdict=verdict)


def _verdict(
    challenger: Engine,
    pointer: Pointer,
    reasons: list[str],
    figures: dict[str, float] | None = None,
    promotion: Promotion | None = None,
) -> Verdict:
    return Verdict(
        challenger=challenger.card.sha256,
        champion=pointer.promotion.sha256,
        sequence=promotion.sequence if promotion else None,
        reasons=reasons,
        figures=figures or {},
    )


def _promoted_before(run: Run, challenger: Engine, pointer: Pointer, promotions: Promotions) -> Verdict | None:
    """The verdict where this step was cut off behind the promotion, whatever was promoted since by somebody else."""
    sha256 = challenger.card.sha256
    ours = [found for found in promotions.history() if found.sha256 == sha256 and found.why.startswith(_why(run))]
    found = ours[0] if ours else pointer.promotion
    if found.sha256 != sha256:
        return None
    return Verdict(
        challenger=sha256, champion=found.previous, sequence=found.sequence, reasons=[found.why], figures=found.figures
    )


def _why(run: Run) -> str:
    return f"run {run.name}: "


PHASES: dict[str, Callable[[Run, Desk], Position]] = {"prepare": prepare, "train": train, "judge": judge}


def _listing(run: Run, cache: Cache, desk: Desk) -> list[Listed]:
    """What lies under the run's source: listed once, and from then on as it was then."""
    try:
        stored = desk.store.get(desk.settings.state_bucket, state_keys.run(run.name, "listing.jsonl"))
    except NotFoundError:
        cache.forget_unfetched()  # what could not be had for an earlier run may be there now
        listing = list_source(run.request.source, desk.store)
        desk.put_once(run, "listing.jsonl", "\n".join(map(json.dumps, listing)).encode())
        return listing
    return [Listed(*json.loads(line)) for line in stored.data.splitlines()]


def _photographs(run: Run, cache: Cache, watch: Watch, desk: Desk) -> Collection | None:
    """What the run learns from; None where this machine's cache is not full yet and time is up."""
    stored = desk.store.get(desk.settings.state_bucket, state_keys.run(run.name, "dataset.jsonl"))
    manifest = Manifest.load(stored.data)
    if not fill(run.request.source, manifest.listing(), cache, desk.store, watch.over, watch.count):
        return None
    try:
        collection = open_collection(manifest, cache)
    except NotPreparedError:
        return None
    if run.request.evaluation:
        collection.validation = list(squares_of(desk.evaluation_set(run), "select", desk.store, desk.settings))
    return collection
