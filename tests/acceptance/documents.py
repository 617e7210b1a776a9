"""Runs the commands of a document, as a reader would: one shell, one folder, from its first block to its last.

A failing command is told by document and line, with what it printed. What a document shows as output is held against
what its commands print.
"""

from __future__ import annotations

import io
import os
import re
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from PIL import Image

from photochrom.deploy.demo.samples import encoded, samples
from photochrom.deploy.stack.stack import Stack
from photochrom.producer.records.progress import progress
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3.store import Store
from tests.documentation import RUN, Block, Document

DEADLINE = 600
"""Seconds for one block; only a broken one takes that long."""

SIDE = 640
"""Pixels of the longer side of the photographs that documents work with."""

TOLD_OF_ERRORS = 4000
"""Characters of what a block printed, in an error."""

# The place is where the command stands in the document, since blocks are given to the shell at their own lines.
TRAP = """trap 'printf "%s:%s: exit code %s\\n" "${BASH_SOURCE:+${BASH_SOURCE##*/}}" "$LINENO" "$?" >&2' ERR\n"""

VARYING = re.compile(
    r"\d{8}-\d{6}-[0-9a-f]{6}"  # a name that a submission was given
    r"|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"
    r"|\b[0-9a-f]{8,64}\b"
)

Preparation = Callable[[Stack, Path], None]


class DocumentError(AssertionError):
    """A document says what is not so."""


class Count(NamedTuple):
    """How many blocks of a document were run, how many of its outputs were compared, and why the others were not."""

    run: int
    compared: int
    not_run: list[str]


class Shell:
    """A bash that takes one block after another; its variables live on, and the first failing command ends it."""

    def __init__(self, folder: Path, scratch: Path, environment: Mapping[str, str]) -> None:
        self._scratch, self._log = scratch, scratch / "output"
        self._done, told = os.pipe()
        self._tell = f"printf '\\n' >&{told}\n"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-Eeuo", "pipefail", "-s"],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[told],
                start_new_session=True,
            )
        os.close(told)
        self._send(TRAP)

    def run(self, name: str, block: Block) -> str:
        """What the block prints. Raises DocumentError where a command of it fails, or takes too long."""
        file = self._scratch / name
        file.write_text("\n" * (block.line - 1) + block.code)
        before = self._log.stat().st_size
        self._send(f"{'source' if block.language == 'sh' else 'python'} {shlex.quote(str(file))} </dev/null\n")
        self._send(self._tell)
        failed = self._wait()
        printed = self._log.read_bytes()[before:].decode(errors="replace")
        if failed:
            raise DocumentError(f"{name}:{block.line}: {failed}\n{block.code}\n{printed[-TOLD_OF_ERRORS:]}")
        return printed

    def close(self) -> None:
        """End the shell and whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        os.close(self._done)

    def _send(self, line: str) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):  # it has ended, which is seen where it is waited for
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def _wait(self) -> str:
        """Until the shell tells that it is done; otherwise what is wrong."""
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            if select.select([self._done], [], [], 0.2)[0]:
                return "" if os.read(self._done, 1) else "a command of this block fails"
            if self._process.poll() is not None and not select.select([self._done], [], [], 0)[0]:
                return "a command of this block fails, and left a process behind"
        return f"not done within {DEADLINE} s"


def run(document: Document, stack: Stack, folder: Path, scratch: Path, environment: Mapping[str, str]) -> Count:
    """Run the blocks of a document in `folder`. Raises DocumentError for what fails, or shows another output."""
    name, shell = document.path.name, Shell(folder, scratch, environment)
    ran, compared, left, printed, looked_at = 0, 0, [], "", False
    try:
        for block in document.blocks():
            place = f"{name}:{block.line}"
            if block.not_run is not None:
                left.append(f"{place}: {block.not_run}")
                continue
            for preparation in block.preparations:
                prepare(preparation, stack, folder, place)
            if block.language in RUN:
                printed = ("" if looked_at else printed) + shell.run(name, block)
                ran, looked_at = ran + 1, False
            elif block.language == "text":
                compare(block.code, printed, place)
                compared, looked_at = compared + 1, True
    finally:
        shell.close()
    return Count(ran, compared, left)


def prepare(name: str, stack: Stack, folder: Path, place: str) -> None:
    """Do what a block needs beforehand. Raises DocumentError for a preparation that is not there."""
    if name not in PREPARATIONS:
        raise DocumentError(f"{place}: no preparation {name!r}: there are {', '.join(PREPARATIONS)}")
    PREPARATIONS[name](stack, folder)


def compare(shown: str, printed: str, place: str) -> None:
    """Raises DocumentError for a line that is shown and was not printed, whatever its numbers and names are."""
    there = {masked(line) for line in printed.splitlines()}
    for line in shown.splitlines():
        if line.strip() not in ("", "...") and masked(line) not in there:
            raise DocumentError(f"{place}: shown is\n{line}\nand nothing like it was printed:\n{printed}")


def masked(line: str) -> str:
    """A line without what differs from run to run: times, names of submissions, sums, numbers, widths of tables."""
    line = VARYING.sub("NAME", line)
    line = re.sub(r"(?<!\w)[+-](?=\d)", "", line)
    line = re.sub(r"\d+([.,:]\d+)*", "0", line)
    return re.sub(r"([━─═])\1+", r"\1", " ".join(line.split()))


# ---- what blocks need beforehand


def scans_on_disk(stack: Stack, folder: Path) -> None:
    """A folder of scans, as they come: TIFF and JPEG, a contact sheet of two pages, and four that are no good."""
    for key, data in _scans().items():
        path = folder / "scans" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def scans(stack: Stack, folder: Path) -> None:
    """The same in the bucket, at s3://archive/scans."""
    for key, data in _scans().items():
        Store(stack.settings).put("archive", f"scans/{key}", data)


def worker_away(stack: Stack, folder: Path) -> None:
    """No worker takes a job: what a submission looks like in its midst can then be seen in peace."""
    for worker in stack.workers.values():
        stack.stop(worker)


def worker_back(stack: Stack, folder: Path) -> None:
    for name in list(stack.workers):
        stack.start_worker(name)


def all_listed(stack: Stack, folder: Path) -> None:
    """Wait until every submission that has not ended is listed whole."""
    ledger = Ledger(stack.settings)
    until = time.monotonic() + DEADLINE
    while not all(progress(name, stack.settings).listed for name in ledger.active()):
        stack.check()
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


PREPARATIONS: dict[str, Preparation] = {
    preparation.__name__: preparation for preparation in (scans_on_disk, scans, worker_away, worker_back, all_listed)
}


def _scans() -> dict[str, bytes]:
    pictures = {Path(sample.key).stem: _gray(picture) for sample, picture in samples()}
    jpeg = {name: encoded(picture, "JPEG") for name, picture in pictures.items()}
    return {
        "album-1/harbour.tif": _tiff(pictures["camera"], bits=16),
        "album-1/temple.tif": _tiff(pictures["china"], bits=8),
        "album-1/flower.jpg": jpeg["flower"],
        "album-1/coffee.jpg": jpeg["coffee"],
        "album-1/heights.tif": _float_tiff(),
        "album-2/contact-sheet.tif": _tiff(pictures["coins"], bits=8, pages=2),
        "album-2/portrait.jpg": jpeg["grace-hopper"],
        "album-2/rocket.jpg": jpeg["rocket"],
        "album-2/cat.jpg": jpeg["chelsea"],
        "album-2/torn.jpg": jpeg["astronaut"][: len(jpeg["astronaut"]) // 3],
        "album-2/letter.jpg": b"To whom it may concern: this is not a photograph.",
        "album-2/blank.tif": b"",
        "album-2/notes.txt": b"Scanned in 2019.",
    }


def _gray(picture: Image.Image) -> Image.Image:
    gray = picture.convert("L")
    gray.thumbnail((SIDE, SIDE))
    return gray


def _tiff(picture: Image.Image, bits: int, pages: int = 1) -> bytes:
    pixels = np.asarray(picture)
    samples = pixels.astype(np.uint16) * 257 if bits == 16 else pixels
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for _ in range(pages):
            writer.write(samples, photometric="minisblack", compression="lzw", resolution=(600, 600), metadata=None)
    return buffer.getvalue()


def _float_tiff() -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64), metadata=None)
    return buffer.getvalue()
