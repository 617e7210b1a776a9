"""`photochrom worker` and `photochrom colorize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

DEFAULT_MODEL = "vgg16-yuv"
"""The first of the starters: what needs no S3 asks none."""

MODEL_HELP = "A starter (vgg16-yuv, autoencoder), a .safetensors file, or champion or a version of the state bucket."


def worker(
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Images in hand at once: processes or threads; chosen when not given.")
    ] = None,
    pool: Annotated[
        Literal["auto", "prefork", "threads"] | None,
        typer.Option(help="Processes, or threads of one process beside a GPU; chosen by the device when not given."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of this worker, unique on its host.")] = "worker",
    explain: Annotated[bool, typer.Option("--explain", help="Say what is chosen for this machine, and why.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Say it as one JSON line a choice.")] = False,
) -> None:
    """Take jobs from the queue and colour their photographs until stopped.

    SIGTERM finishes the images in hand. What it may read and write is set by PHOTOCHROM_READ_FROM and
    PHOTOCHROM_WRITE_TO. Its shape follows from the machine; what is set by hand stays as it is. --explain takes no job.
    """
    from photochrom.worker.cli.explain import tell, tuned
    from photochrom.worker.photo.jpeg import jpegtran
    from photochrom.worker.queue.app import run

    tuning = tuned(concurrency, pool)
    if explain:
        tell(tuning, as_json=json)
        return
    chosen = tuning.settings
    if chosen.jpeg_profile == "compatible":
        jpegtran.require()
    options = ["--pool", chosen.pool, "--concurrency", str(chosen.concurrency)]
    run("colorize", chosen, name, options, ["photochrom.worker.coloring.tasks"])


def colorize(
    to: Annotated[
        str,
        typer.Option(metavar="FOLDER", help="Folder for results, outside the sources; made if it is not there."),
    ],
    files: Annotated[list[str] | None, typer.Argument(help="Photographs, or folders of them.")] = None,
    files_from: Annotated[
        str | None,
        typer.Option(help="File with further paths, one a line (or each before a NUL); - is standard input."),
    ] = None,
    format: Annotated[str | None, typer.Option(help="jpeg, png or tiff; default is the source's own.")] = None,
    jpeg: Annotated[
        str | None,
        typer.Option(help="How a gray JPEG is colored: archive (the default), compatible or reencode."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="A starter (vgg16-yuv, autoencoder), a .safetensors file, or of the state bucket: champion, a version."
        ),
    ] = DEFAULT_MODEL,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes, each of one core; default is one per core, as memory allows.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also replace files that are no results of the same photograph.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON line per photograph.")] = False,
) -> None:
    """Colorize photographs on this machine, without queue or S3: the same story as in a worker.

    Results keep their source's file name (with the format's suffix, where --format changes it), and a folder's keep
    their place in it. Of several folders each gets a folder of its own. Files appear when they are whole.

    Run it again to go on after Ctrl-C: what is there already from the same photograph, model and options is left. A
    result of another model or other options is replaced, also if you have edited it: save what you edit under another
    name. Any other file at its place is not replaced (destination-taken).

    Of folders, names that end in .jpg, .jpeg, .png, .tif, .tiff, .webp, .jp2, .j2k, .jpx or .jpf are taken. Results of
    Photochrom are passed over.

    A photograph that cannot be colorized is reported with its reason and does not stop the others; the exit code is
    then 1.

    PNG and TIFF keep every level of gray. A gray JPEG keeps its gray as it is, and with --jpeg archive `photochrom
    restore` gives the original back; compatible makes one scan of it, for old readers; reencode decodes and encodes.
    """
    from photochrom.worker.cli.local.command import Wish, colorize_files
    from photochrom.worker.errors import UsageError

    if not files and not files_from:
        raise UsageError("name photographs or folders of them, or a list of them with --files-from")
    if not to or "" in (files or ()):  # a shell's variable that is not set: it would mean the current folder
        raise UsageError("a path is empty")
    wish = Wish([Path(file) for file in files or ()], Path(to), model, format, jpeg, files_from, overwrite, jobs)
    raise typer.Exit(colorize_files(wish, as_json=json))


def restore(
    file: Annotated[Path, typer.Argument(help="A coloured JPEG of the archive profile.")],
    to: Annotated[Path, typer.Option(help="Where the original is written; never over a file that is there.")],
) -> None:
    """Give the original gray JPEG back from its coloured result, byte for byte.

    What the coloured file keeps carries the original's SHA-256, against which it is checked before it is written.
    """
    from photochrom.worker.cli.local.fidelity import restore_file

    restore_file(file, to)


def verify(
    file: Annotated[Path, typer.Argument(help="A result.")],
    original: Annotated[Path, typer.Option(help="The file that it was made from.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON line per finding.")] = False,
) -> None:
    """Compare a result with its original: luma, original bytes, depth, alpha, metadata, profile, provenance.

    By decoders other than those that made it. The exit code is 1 if anything is not there.
    """
    from photochrom.worker.cli.local.fidelity import verify_file

    raise typer.Exit(0 if verify_file(file, original, as_json=json) else 1)
