"""Metadata as an archive writes it: EXIF, XMP, IPTC."""

from __future__ import annotations

import struct

Entry = tuple[int, int, int, bytes]
"""Tag, type, count, and the value's bytes."""

ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 2, 3, 4, 5, 7

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


def text(tag: int, words: str) -> Entry:
    """A tag of ASCII."""
    value = words.encode() + b"\0"
    return tag, ASCII, len(value), value


def short(tag: int, number: int) -> Entry:
    """A tag of one 16-bit number."""
    return tag, SHORT, 1, struct.pack("<H", number)


def exif(main: list[Entry], camera: list[Entry] = (), place: list[Entry] = ()) -> bytes:  # type: ignore[assignment]
    """An EXIF block (little-endian TIFF): its first directory, the camera's and the place on earth's."""
    pointers = [(tag, LONG, 1, bytes(4)) for tag, entries in ((34665, camera), (34853, place)) if entries]
    block = b"II*\0" + struct.pack("<I", 8)
    start = 8 + _size([*main, *pointers])
    pointed = []
    for tag, entries in ((34665, camera), (34853, place)):
        if entries:
            pointed.append((tag, LONG, 1, struct.pack("<I", start)))
            start += _size(entries)
    return block + b"".join(
        _directory(entries, len_before) for entries, len_before in _placed(main, pointed, camera, place)
    )


def _placed(main: list[Entry], pointed: list[Entry], *others: list[Entry]) -> list[tuple[list[Entry], int]]:
    placed, place = [], 8
    for entries in ([*main, *pointed], *others):
        if entries:
            placed.append((list(entries), place))
            place += _size(entries)
    return placed


def _size(entries: list[Entry]) -> int:
    return 2 + 12 * len(entries) + 4 + sum(len(value) + len(value) % 2 for *_, value in entries if len(value) > 4)


def _directory(entries: list[Entry], place: int) -> bytes:
    head, behind = struct.pack("<H", len(entries)), b""
    values = place + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in sorted(entries):
        if len(value) > 4:
            stored = struct.pack("<I", values + len(behind))
            behind += value + bytes(len(value) % 2)
        else:
            stored = value.ljust(4, b"\0")
        head += struct.pack("<HHI", tag, kind, count) + stored
    return head + bytes(4) + behind


def xmp(properties: str, namespaces: str = "", attributes: str = "") -> bytes:
    """A packet around the XML of some properties."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about="" {namespaces} {attributes}>{properties}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def image_resource(number: int, content: bytes) -> bytes:
    """One of Photoshop's image resources."""
    return (
        b"8BIM"
        + struct.pack(">H", number)
        + b"\0\0"
        + struct.pack(">I", len(content))
        + content
        + bytes(len(content) % 2)
    )


def iptc_record(number: int, words: str) -> bytes:
    """A data set of IPTC's record 2."""
    value = words.encode()
    return b"\x1c\x02" + bytes([number]) + struct.pack(">H", len(value)) + value


EXIF = exif(
    [text(270, "The harbour"), text(271, "Zeiss"), text(306, "1901:05:06 07:08:09"), text(315, "Unknown")],
    camera=[
        text(36867, "1901:05:06 07:08:09"),
        (33434, RATIONAL, 1, struct.pack("<II", 1, 25)),
        (37500, UNDEFINED, 6, b"maker!"),
    ],
    place=[text(1, "N"), (2, RATIONAL, 3, struct.pack("<6I", 48, 1, 12, 1, 30, 1))],
)

IPTC = (
    iptc_record(5, "Harbour")
    + iptc_record(25, "ships")
    + iptc_record(25, "masts")
    + iptc_record(120, "A harbour, 1901")
)

PHOTOSHOP = image_resource(0x0404, IPTC) + image_resource(
    0x03ED, struct.pack(">IHHIHH", 300 << 16, 1, 1, 300 << 16, 1, 1)
)

XMP_ELEMENTS = (
    '<dc:title><rdf:Alt><rdf:li xml:lang="x-default">The harbour</rdf:li></rdf:Alt></dc:title>'
    "<dc:subject><rdf:Bag><rdf:li>ships</rdf:li><rdf:li>masts</rdf:li></rdf:Bag></dc:subject>"
)

XMP = xmp(
    XMP_ELEMENTS,
    namespaces='xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"',
    attributes='photoshop:Credit="City archive"',
)

XMP_REWRITTEN = XMP_ELEMENTS + "<photoshop:Credit>City archive</photoshop:Credit>"
"""The same properties, all of them as elements."""
