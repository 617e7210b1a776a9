"""The commands about submissions."""

from __future__ import annotations

import json as json_lines
from typing import TYPE_CHECKING, Annotated

import typer

from photochrom.worker.ledger.keys import PRIORITIES

if TYPE_CHECKING:
    from photochrom.producer.records.progress import Progress
    from photochrom.producer.records.submission import Request


def submit(
    source: Annotated[str, typer.Argument(help="s3://bucket/prefix with photographs; it is only ever read.")],
    to: Annotated[str, typer.Option(help="s3://bucket/prefix for the results, outside the source.")],
    manifest: Annotated[
        str | None, typer.Option(help="s3:// URL of a list of keys (.txt, .csv, .jsonl, or an S3 Inventory) to take.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name or version; default is whatever is promoted when an image starts.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="jpeg, png or tiff; default is each source's own.")] = None,
    suffix: Annotated[list[str] | None, typer.Option(help="Only names that end so; may be repeated.")] = None,
    glob: Annotated[str | None, typer.Option(help="Only keys that match this pattern.")] = None,
    smallest: Annotated[int, typer.Option(help="Only files of at least so many bytes.")] = 0,
    largest: Annotated[int | None, typer.Option(help="Only files of at most so many bytes.")] = None,
    jpeg: Annotated[
        str | None,
        typer.Option(help="How gray JPEG is coloured: archive, compatible or reencode; as workers are set by default."),
    ] = None,
    priority: Annotated[str, typer.Option(help="urgent, high, normal or low.")] = "normal",
    on_change: Annotated[
        str, typer.Option(help="When a source is not what was listed: quarantine it, or take it as it is.")
    ] = "quarantine",
    stale: Annotated[
        bool, typer.Option("--stale", help="Only what another version of the model coloured before; the rest is left.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="A name of your own: asking twice is then asking once.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count images and bytes, and do nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show progress until it has ended.")] = False,
    fail_if_empty: Annotated[
        bool, typer.Option("--fail-if-empty", help="Where there are no photographs, submit nothing and exit with 2.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Ask for every photograph under a prefix to be coloured.

    The control process lists the source and feeds the workers; this command may end. With --watch the exit code says
    how it went: 0 all done, 1 some images quarantined. It is 2 for a request that cannot be carried out, and with
    --fail-if-empty for one that finds no photographs.
    """
    from photochrom.producer.records.submission import make, parse_request
    from photochrom.worker.errors import UsageError
    from photochrom.worker.settings import settings

    if priority not in PRIORITIES:
        raise UsageError(f"unknown priority {priority!r}: there are {', '.join(PRIORITIES)}")
    filters = {"glob": glob, "smallest": smallest, "largest": largest} | ({"suffixes": suffix} if suffix else {})
    request = parse_request(
        {
            "source": source,
            "destination": to,
            "manifest": manifest,
            "filters": filters,
            "model": model,
            "format": format,
            "jpeg": jpeg,
            "on_change": on_change,
            "priority": PRIORITIES[priority],
            "stale": stale,
            "name": name,
        }
    )
    if dry_run:
        _dry_run(request, as_json=json, fail_if_empty=fail_if_empty)
        return
    if fail_if_empty:
        _check_not_empty(request)
    submission = make(request, settings())
    if not watch:
        typer.echo(json_lines.dumps({"submission": submission}) if json else submission)
        return
    typer.echo(f"submission {submission}", err=True)
    _watch(submission, as_json=json, fail_if_empty=fail_if_empty)


def status(
    submission: Annotated[str, typer.Argument(help="Name of the submission, as `submit` printed it.")],
    watch: Annotated[bool, typer.Option("--watch", help="Stay and show progress until it has ended.")] = False,
    fail_if_empty: Annotated[
        bool, typer.Option("--fail-if-empty", help="Exit with 2 when all is listed and there are no photographs.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON for machines.")] = False,
) -> None:
    """Show how far along a submission is: counts, rate, reasons of quarantine, time left.

    The exit code is 1 when images are quarantined, and with --fail-if-empty 2 when no photographs were found.
    """
    if watch:
        _watch(submission, as_json=json, fail_if_empty=fail_if_empty)
    from photochrom.producer.records.progress import progress
    from photochrom.worker.settings import settings

    _report(progress(submission, settings()), as_json=json, fail_if_empty=fail_if_empty)


def cancel(submission: Annotated[str, typer.Argument(help="Name of the submission.")]) -> None:
    """Stop a submission: within seconds no worker starts another image of it. `resume` takes it up again."""
    from photochrom.producer.client.lifecycle import cancel as stop
    from photochrom.worker.jobs.context import resources

    stop(submission, resources())
    typer.echo(f"{submission} is cancelled; images in hand are finished")


def resume(submission: Annotated[str, typer.Argument(help="Name of the submission.")]) -> None:
    """Take up a cancelled submission where it stopped."""
    from photochrom.producer.client.lifecycle import resume as take_up
    from photochrom.worker.jobs.context import resources

    take_up(submission, resources())
    typer.echo(f"{submission} goes on")


def redrive(
    submission: Annotated[str, typer.Argument(help="Name of the submission whose quarantined images to try again.")],
    reason: Annotated[list[str] | None, typer.Option(help="Only these reasons; may be repeated.")] = None,
) -> None:
    """Try quarantined images again, as a submission of their own; prints its name.

    The first submission's records stay as they are.
    """
    from photochrom.producer.client.lifecycle import redrive as again
    from photochrom.worker.cli.terminal import printable
    from photochrom.worker.jobs.context import resources

    typer.echo(printable(again(submission, reason, resources())))


def reconcile(submission: Annotated[str, typer.Argument(help="Name of the submission.")]) -> None:
    """Put back images that went missing from the queue, now; the control process does it by itself."""
    from photochrom.producer.client.lifecycle import reconcile_now
    from photochrom.worker.jobs.context import resources

    typer.echo(f"{reconcile_now(submission, resources())} images put back")


def report(submission: Annotated[str, typer.Argument(help="Name of the submission.")]) -> None:
    """Write the completion report, one line an image, as CSV and JSON lines to the state bucket; prints where."""
    from photochrom.producer.client.report import write_report
    from photochrom.worker.cli.terminal import printable
    from photochrom.worker.jobs.context import resources

    for place in write_report(submission, resources()):
        typer.echo(printable(place))


quarantine = typer.Typer(help="Look at images that could not be coloured.", no_args_is_help=True)


@quarantine.command("list")
def quarantine_list(
    submission: Annotated[str, typer.Argument(help="Name of the submission.")],
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON line an image.")] = False,
) -> None:
    """List quarantined images with their reasons."""
    from photochrom.producer.records.progress import quarantined
    from photochrom.worker.cli.terminal import printable
    from photochrom.worker.settings import settings

    for record in quarantined(submission, settings(), reason):
        line = printable(f"{record.ordinal}  {record.reason:18}  {record.key}")
        typer.echo(json_lines.dumps(record.model_dump(mode="json"), separators=(",", ":")) if json else line)


@quarantine.command("show")
def quarantine_show(
    submission: Annotated[str, typer.Argument(help="Name of the submission.")],
    ordinal: Annotated[int, typer.Argument(help="Number of the image, as `quarantine list` prints it.")],
) -> None:
    """Show all that is known of one quarantined image."""
    from photochrom.producer.records.progress import quarantined
    from photochrom.worker.errors import UsageError
    from photochrom.worker.settings import settings

    for record in quarantined(submission, settings()):
        if record.ordinal == ordinal:
            typer.echo(json_lines.dumps(record.model_dump(mode="json"), indent=2))
            return
    raise UsageError(f"image {ordinal} of {submission} is not quarantined")


def _dry_run(request: Request, *, as_json: bool, fail_if_empty: bool = False) -> None:
    from photochrom.producer.records.sources import wanted
    from photochrom.worker.errors import UsageError
    from photochrom.worker.settings import settings

    images = size = 0
    for entry in wanted(request, settings()):
        images, size = images + 1, size + (entry.listed.size or 0)
    told = f"{images:,} photographs, {size / 1e6:,.1f} MB; nothing was submitted" if images else _nothing(request)
    if as_json:
        typer.echo(json_lines.dumps({"images": images, "bytes": size}))
    if fail_if_empty and not images:
        raise UsageError(told)
    if not as_json:
        typer.echo(told)


def _check_not_empty(request: Request) -> None:
    """Raises UsageError where there is no photograph to submit."""
    from photochrom.producer.records.sources import wanted
    from photochrom.worker.errors import UsageError
    from photochrom.worker.settings import settings

    if next(wanted(request, settings()), None) is None:
        raise UsageError(_nothing(request))


def _nothing(request: Request) -> str:
    manifest = f" in the manifest {request.manifest}" if request.manifest else ""
    return f"no photographs were found under {request.source}{manifest}; nothing was submitted"


def _watch(submission: str, *, as_json: bool, fail_if_empty: bool) -> None:
    from photochrom.producer.client.watch import watch
    from photochrom.worker.settings import settings

    _report(watch(submission, settings(), show=not as_json), as_json=as_json, fail_if_empty=fail_if_empty)


def _report(now: Progress, *, as_json: bool, fail_if_empty: bool) -> None:
    if as_json:
        typer.echo(json_lines.dumps(now.summary()))
    else:
        typer.echo(now.line())
        for reason, count in sorted(now.reasons.items()):
            typer.echo(f"  quarantined, {reason}: {count:,}")
    raise typer.Exit(2 if fail_if_empty and now.empty else 1 if now.quarantined else 0)
