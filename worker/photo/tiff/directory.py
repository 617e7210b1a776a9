"""The structure of a TIFF file: its directories, and where the values of their fields lie.

TIFF 6.0, section 2, and BigTIFF, its variant of 64 bits. Nothing is decoded here, no value is read before somebody
asks for it, and what a file claims is measured against the file's own size and the limits first.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO, Literal, NamedTuple

import numpy as np

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits

Order = Literal["<", ">"]

SHORT, LONG, RATIONAL, UNDEFINED, IFD, LONG8, IFD8 = 3, 4, 5, 7, 13, 16, 18

SIZES = {1: 1, 2: 1, SHORT: 2, LONG: 4, RATIONAL: 8, 6: 1, UNDEFINED: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
SIZES |= {IFD: 4, LONG8: 8, 17: 8, IFD8: 8}
"""Bytes of one value, by field type."""

_INTEGERS = {1: "u1", SHORT: "u2", LONG: "u4", IFD: "u4", LONG8: "u8", IFD8: "u8"}

EXIF, GPS, INTEROPERABILITY, SUB_IMAGES = 34665, 34853, 40965, 330

_POINTERS = {0: (EXIF, GPS), EXIF: (INTEROPERABILITY,)}
"""Tags that lead to a further directory, by the tag of the directory that they stand in (0: a page's own)."""


class Form(NamedTuple):
    """What TIFF and BigTIFF differ in: struct formats of the number of entries, an entry and an offset; their sizes."""

    number: str
    entry: str
    offset: str
    number_size: int
    entry_size: int
    offset_size: int


CLASSIC = Form("H", "HHI4s", "I", 2, 12, 4)
BIG = Form("Q", "HHQ8s", "Q", 8, 20, 8)


class Field(NamedTuple):
    """A field of a directory: the type and number of its values, and their place in the file."""

    type: int
    length: int
    place: int

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return SIZES[self.type] * self.length


@dataclass(frozen=True)
class Directory:
    """An image file directory: its fields and further directories by tag; tags of a type that nobody knows apart."""

    fields: dict[int, Field]
    nested: dict[int, Directory] = field(default_factory=dict)
    unknown: tuple[int, ...] = ()


class Tiff:
    """An open file. `order` is "<" or ">"; all methods raise ImageFault ("damaged") for what lies outside the file."""

    def __init__(self, source: BinaryIO, limits: Limits) -> None:
        """Reads the header. Raises ImageFault ("not-a-photograph", "damaged")."""
        self.source = source
        self.limits = limits
        self.size = source.seek(0, os.SEEK_END)
        head = self.read(0, min(16, self.size))
        self.order: Order = ">" if head[:2] == b"MM" else "<"
        version = struct.unpack_from(self.order + "H", head, 2)[0] if len(head) >= 8 else 0
        if head[:2] not in (b"II", b"MM") or version not in (42, 43):
            raise ImageFault("not-a-photograph", "the file is no TIFF")
        self.is_big = version == 43
        if self.is_big and (len(head) < 16 or struct.unpack_from(self.order + "HH", head, 4) != (8, 0)):
            raise ImageFault("damaged", "the BigTIFF header is incomplete")
        self.form = BIG if self.is_big else CLASSIC
        self._first: int = struct.unpack_from(self.order + self.form.offset, head, 8 if self.is_big else 4)[0]
        self._entries = 0

    def read(self, place: int, size: int) -> bytes:
        """So many bytes from a place."""
        if place < 0 or place + size > self.size:
            raise ImageFault("damaged", f"{size:,} bytes at {place:,} are missing: the file has {self.size:,}")
        self.source.seek(place)
        data = self.source.read(size)
        if len(data) != size:
            raise ImageFault("damaged", f"the file ends before byte {place + size:,}")
        return data

    def value(self, field: Field) -> bytes:
        """A field's values as they stand in the file."""
        return self.read(field.place, field.size)

    def integers(self, field: Field) -> np.ndarray:
        """A field's values, unsigned (length,)."""
        if field.type not in _INTEGERS:
            raise ImageFault("damaged", f"a field that holds whole numbers is of type {field.type}")
        return np.frombuffer(self.value(field), self.order + _INTEGERS[field.type])

    def number(self, directory: Directory, tag: int, default: int) -> int:
        """The first value of a field, or the default where there is none."""
        found = directory.fields.get(tag)
        return int(self.integers(found._replace(length=1))[0]) if found and found.length else default

    def rational(self, directory: Directory, tag: int) -> Fraction | None:
        """The first value of a RATIONAL field, if there is one that means something."""
        found = directory.fields.get(tag)
        if not found or found.type != RATIONAL or not found.length:
            return None
        numerator, denominator = struct.unpack(self.order + "II", self.read(found.place, 8))
        return Fraction(numerator, denominator) if denominator else None

    def pages(self) -> list[Directory]:
        """The directories of the chain. Raises ImageFault ("damaged", "too-many-pages", "too-many-segments")."""
        found = self._chain(self._first)
        if not found:
            raise ImageFault("damaged", "the TIFF has no page")
        return found

    def first(self) -> Directory:
        """The first directory alone, whatever follows it."""
        return self._directory(self._first, 0)[0]

    def sub_images(self, directory: Directory) -> list[Directory]:
        """The directories that a page's SubIFDs (330, Adobe PageMaker 6.0 TIFF technical notes) lead to."""
        pointer = directory.fields.get(SUB_IMAGES)
        if not pointer:
            return []
        self.limits.check_pages(pointer.length)
        return [found for place in self.integers(pointer).tolist() for found in self._chain(place)]

    def _chain(self, place: int) -> list[Directory]:
        found: list[Directory] = []
        seen: set[int] = set()
        while place:
            if place in seen:
                raise ImageFault("damaged", "the chain of directories runs in a circle")
            seen.add(place)
            self.limits.check_pages(len(found) + 1)
            directory, place = self._directory(place, 0)
            found.append(directory)
        return found

    def _directory(self, place: int, leading: int) -> tuple[Directory, int]:
        """The directory at a place, to which the tag `leading` led, and the place of the next one in the chain."""
        form = self.form
        count: int = struct.unpack(self.order + form.number, self.read(place, form.number_size))[0]
        self._entries += count
        self.limits.check_segments(self._entries)
        start, end = place + form.number_size, place + form.number_size + count * form.entry_size
        table = self.read(start, end - start + form.offset_size)
        fields, unknown = self._fields(table[: end - start], start)
        nested = {}
        for tag in _POINTERS.get(leading, ()):
            if tag in fields and (target := self.number(Directory(fields), tag, 0)):
                nested[tag] = self._directory(target, tag)[0]
        following: int = struct.unpack(self.order + form.offset, table[end - start :])[0]
        return Directory(fields, nested, unknown), following

    def _fields(self, table: bytes, start: int) -> tuple[dict[int, Field], tuple[int, ...]]:
        """Of two fields with one tag the first counts, as for everybody else."""
        fields: dict[int, Field] = {}
        unknown = []
        inline = start + self.form.entry_size - self.form.offset_size
        for tag, type_, count, value in struct.iter_unpack(self.order + self.form.entry, table):
            if type_ not in SIZES:
                unknown.append(tag)
            elif tag not in fields:
                outside = SIZES[type_] * count > self.form.offset_size
                place = struct.unpack(self.order + self.form.offset, value)[0] if outside else inline
                fields[tag] = Field(type_, count, place)
                if place + fields[tag].size > self.size:
                    raise ImageFault("damaged", f"the values of tag {tag} lie outside the file")
            inline += self.form.entry_size
        return fields, tuple(unknown)
