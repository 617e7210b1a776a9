"""The completion report: one line an image, as CSV and as JSON lines, in the state bucket."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator

from photochrom.producer.records.outcomes import listing, notes, outcomes, reasons
from photochrom.producer.records.pages import read_page
from photochrom.producer.records.submission import load
from photochrom.worker.jobs.context import Resources
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.state_keys import FinishedPage
from photochrom.worker.s3.store import PART_BYTES

FIELDS = ("ordinal", "key", "outcome", "reason", "notes", "etag", "size")
"""`notes` are words separated by spaces; docs/fidelity.md has them."""


def write_report(name: str, held: Resources) -> list[str]:
    """Write `report.csv` and `report.jsonl` beside the submission; gives back their s3:// URLs.

    Memory stays flat: pages are read one after another and written in parts. An image without an outcome is `pending`.
    Raises UsageError when there is no such submission.
    """
    load(name, held.store, held.settings)
    bucket = held.settings.state_bucket
    written = []
    for suffix, line, head in (("csv", _csv, _csv(FIELDS)), ("jsonl", _json, b"")):
        key = state_keys.report(name, suffix)
        lines = (line(row) for row in rows(name, held))
        held.store.put_parts(bucket, key, _parts(head, lines), "text/csv" if suffix == "csv" else "application/jsonl")
        written.append(f"s3://{bucket}/{key}")
    return written


def rows(name: str, held: Resources) -> Iterator[tuple[object, ...]]:
    """One row an image, in the order of the source: the values of `FIELDS`."""
    finished, quarantined = _in_s3(name, held)
    for number in range(listing(name, held).pages):
        images = read_page(name, number, held.store).images
        ordinals = {image.ordinal for image in images}
        if number not in finished:
            flight = held.ledger.flight(name, number, ordinals)
            ended, noted = flight.ended, flight.notes
            if ended and not flight.lasts:  # the page was finished after S3 was asked
                finished, quarantined = _in_s3(name, held)
            quarantined |= flight.reasons
        if number in finished:
            ended, noted = ordinals, notes(name, finished[number], held)
        for image in images:
            reason = quarantined.get(image.ordinal, "")
            outcome = "quarantined" if reason else "done" if image.ordinal in ended else "pending"
            said = noted.get(image.ordinal, "")
            yield image.ordinal, image.key, outcome, reason, said, image.etag.strip('"'), image.size


def _in_s3(name: str, held: Resources) -> tuple[dict[int, FinishedPage], dict[int, str]]:
    """The finished pages by number, and the reasons of quarantined images by ordinal."""
    said = outcomes(name, held)
    return {page.number: page for page in said.finished}, reasons(name, said, held)


def _csv(row: Iterable[object]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(row)
    return line.getvalue().encode()


def _json(row: Iterable[object]) -> bytes:
    return json.dumps(dict(zip(FIELDS, row, strict=True))).encode() + b"\n"


def _parts(head: bytes, lines: Iterable[bytes]) -> Iterator[bytes]:
    part = bytearray(head)
    for line in lines:
        part += line
        if len(part) >= PART_BYTES:
            yield bytes(part)
            part.clear()
    yield bytes(part)
