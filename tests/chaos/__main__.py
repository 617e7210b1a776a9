"""`python -m tests.chaos`: thousands of images through a Photochrom that is killed, cut off and robbed all the while.

Real Valkey, real SeaweedFS behind a proxy that fails, real worker and control processes; only the model is a stand-in.
The exit code is 0 only if every image ended exactly once, rightly, and the archive is untouched.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from photochrom.deploy.stack.stack import HOUSE
from tests.chaos.check import FINDINGS
from tests.chaos.continuity import IDLE_SECONDS
from tests.chaos.outages import KINDS, Outage, every_outage, one_of_each_group
from tests.chaos.plan import Plan
from tests.chaos.run import Outcome, run


def main(
    images: Annotated[int, typer.Option(help="Photographs in the submission.")] = 20_000,
    kills: Annotated[int, typer.Option(help="kill -9 of our own processes; a third as many SIGTERM come on top.")] = 60,
    redis_restarts: Annotated[int, typer.Option(help="By turns kill -9 and SIGTERM; the data stay.")] = 5,
    redis_losses: Annotated[int, typer.Option(help="kill -9, and the data are gone.")] = 1,
    s3_restarts: Annotated[int, typer.Option(help="kill -9; the data stay.")] = 2,
    s3_fault_rate: Annotated[float, typer.Option(help="Part of the S3 requests that fail, 0 to 1.")] = 0.05,
    again: Annotated[int, typer.Option(help="Jobs sent a second time by hand.")] = 20,
    poison: Annotated[int | None, typer.Option(help="Images that kill their reader.")] = None,
    broken: Annotated[int | None, typer.Option(help="Unreadable files of each of four kinds.")] = None,
    workers: Annotated[int, typer.Option(help="Worker processes.")] = 2,
    concurrency: Annotated[int, typer.Option(help="Children of each.")] = 4,
    seed: Annotated[int | None, typer.Option(help="Of all that is random; default another each time.")] = None,
    reconciler: Annotated[bool, typer.Option(help="Without it, losses of the queue show.")] = True,
    outages: Annotated[
        list[str] | None,
        typer.Option(
            "--outage",
            help="What is away for a while: NAME or NAME:SECONDS; may be repeated. all: every kind and duration. "
            f"turns: one of each group, by chance. Names: {', '.join(KINDS)}.",
        ),
    ] = None,
    sparse: Annotated[int, typer.Option(help="Submissions beside it of millions of keys without photographs.")] = 0,
    seconds_an_image: Annotated[float, typer.Option(help="How long the stand-in for the model takes.")] = 0.0,
    checkouts: Annotated[
        list[str] | None,
        typer.Option("--checkout", help="Folder of the code that is run; several are used by turns: mixed versions."),
    ] = None,
    deadline: Annotated[float, typer.Option(help="Seconds after which it is called off.")] = 7200,
    folder: Annotated[Path | None, typer.Option(help="Keep data and logs here; default only after a failure.")] = None,
    to_json: Annotated[Path | None, typer.Option("--json", help="Write everything found to this file.")] = None,
) -> None:
    """Run a submission through chaos, and hold every image against what should have become of it.

    By default one image in a thousand is poison, and as many are broken in each of four ways.
    """
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    plan = Plan(
        images=images,
        kills=kills,
        redis_restarts=redis_restarts,
        redis_losses=redis_losses,
        s3_restarts=s3_restarts,
        s3_fault_rate=s3_fault_rate,
        again=again,
        poison=max(2, images // 1000) if poison is None else poison,
        broken=max(1, images // 1000) if broken is None else broken,
        workers=workers,
        concurrency=concurrency,
        seed=seed,
        reconciler=reconciler,
        deadline=deadline,
        outages=tuple(_outages(outages or [], random.Random(seed))),
        sparse=sparse,
        seconds_an_image=seconds_an_image,
        checkouts=tuple(checkouts or [str(HOUSE)]),
    )
    place = folder or Path(tempfile.mkdtemp(prefix="photochrom-chaos-"))
    console = Console(stderr=True)
    outcome = run(plan, place, console)
    show(outcome)
    if to_json:
        to_json.write_text(json.dumps(asdict(outcome), indent=1) + "\n")
    if outcome.all_well and folder is None:
        shutil.rmtree(place)
    else:
        console.print(f"data and logs: {place}")
    raise typer.Exit(0 if outcome.all_well else 1)


def _outages(names: list[str], chance: random.Random) -> list[Outage]:
    found: list[Outage] = []
    for name in names:
        if name == "all":
            found += every_outage()
        elif name == "turns":
            found += one_of_each_group(chance)
        else:
            found.append(_outage(name))
    return found


def _outage(name: str) -> Outage:
    try:
        return Outage.parse(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def show(outcome: Outcome) -> None:
    """The table, on standard output."""
    plan = outcome.plan
    table = Table(title=f"{plan.images:,} images, {plan.workers} workers x {plan.concurrency}, seed {plan.seed}")
    table.add_column("what was done")
    table.add_column("times", justify="right")
    for what, times in outcome.inflicted.items():
        table.add_row(what, f"{times:,}")
    table.add_section()
    for outage, seconds in outcome.outages:
        table.add_row(f"{outage}, until work went on", "-" if seconds is None else f"{seconds:,.1f} s")
    for worker, seconds in outcome.idle.items():
        table.add_row(
            f"{worker}: longest time idle while jobs waited",
            f"{seconds:,.1f} s",
            style="red" if seconds > IDLE_SECONDS else "green",
        )
    table.add_section()
    table.add_row("submission ended", f"{'yes' if outcome.ended else 'NO'}, {outcome.seconds:,.0f} s")
    for finding in FINDINGS:
        count = outcome.verdict.counts[finding]
        table.add_row(finding, f"{count:,}", style="red" if count else "green")
    console = Console()
    console.print(table)
    for finding, examples in outcome.verdict.examples.items():
        for example in examples:
            console.print(f"{finding}: {example}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
