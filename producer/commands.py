"""`photochrom submit`, `photochrom status` and `photochrom control`."""

from __future__ import annotations

import json as json_lines
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from producer.progress import Progress


def submit(
    source: Annotated[str, typer.Argument(help="s3://bucket/prefix with photographs; it is only ever read.")],
    to: Annotated[str, typer.Option(help="s3://bucket/prefix for the results, outside the source.")],
    model: Annotated[str | None, typer.Option(help="Model by name; default is the champion.")] = None,
    format: Annotated[str | None, typer.Option(help="jpeg, png or tiff; default is each source's own.")] = None,
    name: Annotated[str | None, typer.Option(help="A name of your own: asking twice is then asking once.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count images and bytes, and do nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show progress until it has ended.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Ask for every photograph under a prefix to be coloured.

    The control process lists the source and feeds the workers; this command may end. With --watch the exit code says
    how it went: 0 all done, 1 some images quarantined.
    """
    from producer.submission import submit as make
    from worker.settings import settings

    if dry_run:
        _dry_run(source, to, model, format, as_json=json)
        return
    submission = make(source, to, model=model, format=format, name=name, settings=settings())  # type: ignore[arg-type]
    if not watch:
        typer.echo(json_lines.dumps({"submission": submission}) if json else submission)
        return
    typer.echo(f"submission {submission}", err=True)
    _watch(submission, as_json=json)


def status(
    submission: Annotated[str, typer.Argument(help="Name of the submission, as `submit` printed it.")],
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show progress until it has ended.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Show how far along a submission is: counts, rate, reasons of quarantine, time left.

    The exit code is 1 when images are quarantined.
    """
    if watch:
        _watch(submission, as_json=json)
    from producer.progress import progress
    from worker.settings import settings

    _report(progress(submission, settings()), as_json=json)


def control(
    name: Annotated[str, typer.Option(help="Name of this process, unique on its host.")] = "control",
) -> None:
    """Run the control process: it lists submissions page by page and keeps the queue filled. Two may run at once."""
    from worker.app import run
    from worker.settings import settings

    run("control", settings(), name, ["--beat", "--pool", "threads", "--concurrency", "2"])


def _dry_run(source: str, to: str, model: str | None, format: str | None, *, as_json: bool) -> None:
    from producer.pages import photographs
    from producer.submission import plan
    from worker.settings import settings
    from worker.store import Location, Store

    chosen = settings()
    plan(source, to, model=model or chosen.model, format=format, settings=chosen)  # type: ignore[arg-type]
    images = size = 0
    for listed in photographs(Store(chosen), Location.parse(source)):
        images, size = images + 1, size + listed.size
    if as_json:
        typer.echo(json_lines.dumps({"images": images, "bytes": size}))
    else:
        typer.echo(f"{images:,} photographs, {size / 1e6:,.1f} MB; nothing was submitted")


def _watch(submission: str, *, as_json: bool) -> None:
    from producer.watch import watch
    from worker.settings import settings

    _report(watch(submission, settings(), show=not as_json), as_json=as_json)


def _report(now: Progress, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json_lines.dumps(now.summary()))
    else:
        typer.echo(now.line())
        for reason, count in sorted(now.reasons.items()):
            typer.echo(f"  quarantined, {reason}: {count:,}")
    raise typer.Exit(1 if now.quarantined else 0)
