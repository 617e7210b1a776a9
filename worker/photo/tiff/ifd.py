"""Fields as they are written: copied to the byte, put into a file's byte order, and laid out as directories.

TIFF 6.0, section 2; Exif 3.0, 4.5 and 4.6.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from photochrom.worker.photo.tiff.directory import (
    BIG,
    CLASSIC,
    IFD,
    IFD8,
    LONG,
    LONG8,
    RATIONAL,
    SHORT,
    SIZES,
    Directory,
    Order,
    Tiff,
)

_UNITS = {RATIONAL: 4, 10: 4}
"""Bytes that change places together, by field type, where that is not a whole value: rationals are pairs."""

_FORMATS = {SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}


class Entry(NamedTuple):
    """A field with its values, as bytes of some order."""

    tag: int
    type: int
    length: int
    data: bytes

    @classmethod
    def of(cls, tag: int, type_: int, order: Order, *values: int) -> Entry:
        """A field of whole numbers; of a RATIONAL, numerator and denominator."""
        data = struct.pack(f"{order}{len(values)}{_FORMATS[type_]}", *values)
        return cls(tag, type_, len(data) // SIZES[type_], data)

    def swapped(self) -> Entry:
        """The same values in the other byte order."""
        unit = _UNITS.get(self.type, SIZES[self.type])
        return self._replace(data=np.frombuffer(self.data, f"u{unit}").byteswap().tobytes())


@dataclass(frozen=True)
class Fields:
    """The fields of a directory and, by the tag that leads to each, those of further ones."""

    order: Order = "<"
    entries: tuple[Entry, ...] = ()
    nested: dict[int, Fields] = field(default_factory=dict)

    @classmethod
    def of(cls, tiff: Tiff, directory: Directory, wanted: Collection[int]) -> Fields:
        """Copies of the wanted fields, and of all further directories; but of no pointer to what nobody knows."""
        entries = tuple(
            Entry(tag, found.type, found.length, tiff.value(found))
            for tag, found in sorted(directory.fields.items())
            if tag in wanted and tag not in directory.nested and found.type not in (IFD, IFD8)
        )
        nested = {tag: cls.of(tiff, inner, inner.fields) for tag, inner in directory.nested.items()}
        return cls(tiff.order, entries, nested)

    def plus(self, entries: Iterable[Entry]) -> Fields:
        """These fields and some more, which are in the same byte order."""
        return replace(self, entries=(*self.entries, *entries))

    def in_order(self, order: Order) -> Fields:
        """The same fields in byte order "<" or ">"."""
        if order == self.order:
            return self
        entries = tuple(entry.swapped() for entry in self.entries)
        return Fields(order, entries, {tag: inner.in_order(order) for tag, inner in self.nested.items()})

    def encoded(self, at: int, *, big: bool) -> tuple[bytes, int]:
        """A directory that is to stand at an even place of a file, what it leads to behind it, and no next one.

        With it comes the place in the file where the next one's would stand.
        """
        form = BIG if big else CLASSIC
        pointers = [Entry(tag, LONG8 if big else LONG, 1, b"") for tag in self.nested]
        entries = sorted((*self.entries, *pointers), key=lambda entry: entry.tag)
        link = at + form.number_size + len(entries) * form.entry_size
        table = struct.pack(self.order + form.number, len(entries))
        values = bytearray()
        for entry in entries:
            place = link + form.offset_size + len(values)
            if entry.tag in self.nested:
                values += self.nested[entry.tag].encoded(place, big=big)[0]
            elif len(entry.data) > form.offset_size:
                values += entry.data + bytes(len(entry.data) % 2)
            else:
                table += struct.pack(self.order + form.entry, *entry)
                continue
            value = struct.pack(self.order + form.offset, place)
            table += struct.pack(self.order + form.entry, entry.tag, entry.type, entry.length, value)
        return table + struct.pack(self.order + form.offset, 0) + values, link

    def block(self) -> bytes:
        """The fields as an EXIF block, b"" where there are none."""
        if not self.entries and not self.nested:
            return b""
        start = b"II*\0" if self.order == "<" else b"MM\0*"
        return start + struct.pack(self.order + "I", 8) + self.encoded(8, big=False)[0]
