"""XMP packets (ISO 16684-1) as plain properties, so that two packets can be compared whatever form they have."""

from __future__ import annotations

from typing import Any

from lxml import etree

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
OURS = "{http://ns.photochrom.org/1.0/}"

SOURCE_TYPE = IPTC + "DigitalSourceType"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"

Properties = dict[str, Any]
"""Value by {namespace}name: a text, a list for an array, a dict for a structure; with its language where it has one."""

# how a packet's first characters look in each encoding: it may have no XML declaration
_ENCODINGS = {b"<\0\0\0": "utf-32-le", b"\0\0\0<": "utf-32-be", b"<\0": "utf-16-le", b"\0<": "utf-16-be"}
_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def properties(packet: bytes) -> Properties | None:
    """All properties of a packet; {} for an empty one and None for one that is no XML of this kind."""
    if not packet.strip(b"\0 \t\r\n"):
        return {}
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(_as_utf8(packet), parser)
    except (etree.XMLSyntaxError, UnicodeError, ValueError):
        return None
    if root.getroottree().docinfo.internalDTD is not None:
        return None
    found: Properties = {}
    for description in root.iter(RDF + "Description"):
        if description.getparent() is not None and description.getparent().tag == RDF + "RDF":
            found |= _structure(description)
    return found


def ours(found: Properties) -> dict[str, str]:
    """What Photochrom says in a packet: by the name of the property."""
    return {name.removeprefix(OURS): str(value) for name, value in found.items() if name.startswith(OURS)}


def foreign(found: Properties) -> Properties:
    """What a packet says beside us."""
    return {name: value for name, value in found.items() if not name.startswith(OURS) and name != SOURCE_TYPE}


def _as_utf8(packet: bytes) -> bytes:
    packet = packet.strip(b"\0 \t\r\n") if packet[:1] not in (b"\0", b"\xff") and packet[1:2] != b"\0" else packet
    for start, encoding in (_MARKS | _ENCODINGS).items():
        if packet.startswith(start):
            text = packet[: len(packet) // 4 * 4 if "32" in encoding else len(packet) // 2 * 2].decode(encoding)
            text = text.strip("\ufeff\0 \t\r\n")
            return (text.partition("?>")[2] if text.startswith("<?xml ") else text).encode()
    return packet


def _structure(element: etree._Element) -> Properties:
    """A node's properties, be they written as attributes or as elements (ISO 16684-1, 7.4 to 7.9)."""
    found: Properties = {
        str(name): str(value)
        for name, value in element.attrib.items()
        if not str(name).startswith(RDF) and name != XML_LANG and str(name).startswith("{")
    }
    for child in element:
        if isinstance(child.tag, str):
            found[child.tag] = _value(child)
    return found


def _value(element: etree._Element) -> Any:
    value = _unqualified(element)
    language = element.get(XML_LANG)
    return {"lang": language, "value": value} if language else value


def _unqualified(element: etree._Element) -> Any:
    children = [child for child in element if isinstance(child.tag, str)]
    resource = element.get(RDF + "resource")
    if resource is not None:
        return str(resource)
    if element.get(RDF + "parseType") == "Resource":
        return _structure(element)
    if not children:
        return _structure(element) or (element.text or "")
    inner = children[0]
    if inner.tag in (RDF + "Bag", RDF + "Seq", RDF + "Alt"):
        return [_value(item) for item in inner if isinstance(item.tag, str)]
    return _structure(inner) if inner.tag == RDF + "Description" else _structure(element)
