"""`photochrom demo`, `photochrom demo-training`, `photochrom bench` and `photochrom control`."""

from __future__ import annotations

import json as json_text
import time
from pathlib import Path
from typing import Annotated

import typer

CONTROL_TASKS = ["photochrom.producer.control.tasks", "photochrom.training.runs.scheduler_task"]
"""What the control process does: for submissions, and for training runs."""


def control(
    name: Annotated[str, typer.Option(help="Name of this process, unique on its host.")] = "control",
) -> None:
    """Run the control process: it lists submissions page by page and keeps the queue filled. Two may run at once."""
    from photochrom.worker.queue.app import run
    from photochrom.worker.settings import settings

    run("control", settings(), name, ["--beat", "--pool", "threads", "--concurrency", "4"], CONTROL_TASKS)


def demo(
    photos: Annotated[
        Path | None, typer.Option(help="Folder of your own photographs; colour ones are made gray first.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the page, the results and summary.json.")] = Path("demo-out"),
    model: Annotated[str, typer.Option(help="Model by name: champion, vgg16-yuv or autoencoder.")] = "champion",
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Try the whole system on this machine: nothing to set up, nothing left running.

    Starts a Redis, an S3 server, the control process and one worker per core, uploads gray photographs, submits them,
    and makes a page to compare gray, coloured and real. One sample is a broken file: it ends in quarantine.
    Servers of your own are used instead where PHOTOCHROM_REDIS_URL or PHOTOCHROM_S3_ENDPOINT names them.

    The exit code is 0 when everything was coloured but what is broken on purpose, else 1.
    """
    from photochrom.deploy.demo.page import write_report
    from photochrom.deploy.demo.run import demonstrate
    from photochrom.worker.cli.terminal import ProgressDisplay, printable

    out.mkdir(parents=True, exist_ok=True)
    with ProgressDisplay("starting") as display:
        report = demonstrate(photos, out, model, lambda what, done, total: display.update(done, total, what))
    page = write_report(report, out).resolve()
    if json:
        typer.echo(json_text.dumps({**report.summary(), "page": str(page)}))
    else:
        by = printable(f"{report.model} {report.version}")
        typer.echo(
            f"{report.count('done')} of {len(report.results)} photographs coloured in {report.seconds:.1f} s "
            f"({report.images_per_second:.1f} images/s) by {by}, {report.count('quarantined')} quarantined"
        )
        typer.echo(f"Open {page.as_uri()}")
    raise typer.Exit(0 if report.succeeded else 1)


def demo_training(
    out: Annotated[Path, typer.Option(help="Folder for the page and its pictures.")] = Path("demo-training-out"),
) -> None:
    """Watch a model learn on a schedule, be judged, promoted, served and rolled back, in some minutes.

    Starts a Redis, an S3 server, control, training and a colorize worker; promotes a model that has learnt next to
    nothing; lets the schedule begin a run on crops of free sample photographs; and makes a page of curves and pictures.
    The exit code is 0 when the challenger was promoted and served and no image failed.
    """
    from photochrom.deploy.demo.training import demonstrate_training
    from photochrom.deploy.demo.training_page import write_training_page
    from photochrom.worker.cli.terminal import printable

    def tell(text: str) -> None:
        typer.echo(printable(f"{time.monotonic() - started:5.0f} s  {text}"), err=True)

    started = time.monotonic()
    story = demonstrate_training(out, tell)
    typer.echo(f"{story.coloured} images coloured, {story.failed} failed, by {len(story.by_version)} versions")
    typer.echo(f"Open {write_training_page(out, story).resolve().as_uri()}")
    raise typer.Exit(1 if story.failed else 0)


def bench(
    files: Annotated[
        list[Path] | None,
        typer.Option(
            help="A photograph of your own, or a folder of them, in place of generated ones; may be repeated."
        ),
    ] = None,
    stack: Annotated[
        bool, typer.Option("--stack", help="Also through a whole Photochrom: embedded Redis and S3, worker processes.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes of the stack; default as for `photochrom demo`.")
    ] = None,
    repetitions: Annotated[int, typer.Option(min=1, help="Of each photograph on local files; the median is told.")] = 5,
    model: Annotated[
        str, typer.Option(help="A starter (vgg16-yuv, autoencoder) or a .safetensors file; on local files only.")
    ] = "vgg16-yuv",
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Show where the time of a photograph goes on this machine, and what is the bottleneck.

    Colours generated photographs (gray JPEG of 1, 12 and 24 megapixels, a 16-bit gray TIFF of 12), or your own, from
    file to file, and prints the milliseconds of each stage: fetch from S3, read (decode), predict (the network),
    compose (join colour to luma), write (encode), store. With --stack the same photographs also go through queue, S3
    and worker processes, where fetching and storing run beside the colouring of other photographs.

    Beside them stands what bounds them: the network, the codec and the S3 client, each alone with nothing around it,
    and the ratios to that and to local files.

    A photograph of each kind is coloured once before, so that what is measured is a process that is warm. The last line
    says what is slowest and what would help. Nothing is left running, and your photographs are only read.
    """
    from rich.console import Console

    from photochrom.deploy.bench.run import bench as measure
    from photochrom.worker.cli.terminal import printable

    console = Console(stderr=True)
    with console.status("") as status:
        report = measure(files or [], model, repetitions, workers, stack, lambda text: status.update(text))
    if json:
        typer.echo(json_text.dumps(report.summary(), indent=2))
        return
    shown = Console()
    for table in report.tables():
        shown.print(table)
    typer.echo(printable(f"{report.machine}; {report.model}"))
    typer.echo(report.closing)
