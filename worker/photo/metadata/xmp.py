"""XMP packets (ISO 16684-1, "part 1" below; part 3 says where files keep them): what a result says of itself.

A packet is someone's else document that gets a few properties more. It is read without DTD and entities, and written
back in UTF-8, with a wrapper and without padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lxml import etree

from photochrom.worker.formats import COMPOSITE
from photochrom.worker.version import VERSION

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC_EXTENSION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
PHOTOCHROM = "http://ns.photochrom.org/1.0/"
_PREFIXES = {"Iptc4xmpExt": IPTC_EXTENSION, "photochrom": PHOTOCHROM}

COMPUTED = "computed"
"""What `photochrom:Colour` says of every result."""

MOST_BYTES = 16_000_000
"""Beyond this nothing is a packet of metadata, and it is not parsed."""

_SYSTEM = "Photochrom"
_SOURCE_TYPE = f"{{{IPTC_EXTENSION}}}DigitalSourceType"
_AI_SYSTEM, _AI_VERSION = f"{{{IPTC_EXTENSION}}}AISystemUsed", f"{{{IPTC_EXTENSION}}}AISystemVersionUsed"
_DESCRIPTION, _ABOUT, _RESOURCE = f"{{{RDF}}}Description", f"{{{RDF}}}about", f"{{{RDF}}}resource"

_FRESH = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"/></x:xmpmeta>'

# The wrapper (part 1, 7.3.2): U+FEFF shows the encoding; "w": may be changed in place.
_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'.encode()
_TAIL = b'\n<?xpacket end="w"?>'

# The longer ones first: a shorter one's mark is the beginning of theirs.
_ENCODINGS = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be", "utf-8")


@dataclass(frozen=True)
class Statement:
    """What a result says of itself.

    `how` says how its gray got there: "spliced", "exact", "reencoded" or "transcoded". `digital_source_type` is a URI
    of IPTC's vocabulary. SHA-256 sums are in hexadecimal. `options` are those that the result was made with, as
    `Options.identity` gives them; None in results of version 0.1, which do not say them.
    """

    model: str
    model_sha256: str
    source_sha256: str
    how: str
    version: str = VERSION
    digital_source_type: str = COMPOSITE
    options: str | None = None


class Merged(NamedTuple):
    """A packet with the statement in it. `replaced` means that the old one could not be read and is not in it."""

    packet: bytes
    replaced: bool


def merge(packet: bytes, statement: Statement, most: int | None = None) -> Merged | None:
    """The packet (b"" for none) with the statement in it, as one more description of the same resource.

    All else stays: properties in every notation, namespaces, order, comments. Replaced are a former statement, any
    DigitalSourceType, and no other system's AISystemUsed (IPTC Photo Metadata 2025.1). None where the result would have
    more than `most` bytes, even without the white space between elements. The same input gives the same bytes.
    """
    root = _parse(packet)
    replaced = root is None and bool(packet.strip(b"\0 \t\r\n"))
    root = etree.fromstring(_FRESH, _parser()) if root is None else root
    rdf = next(root.iter(f"{{{RDF}}}RDF"))
    _remove_statement(rdf)
    _add_statement(rdf, statement)
    written = _written(root)
    if most is not None and len(written) > most:
        _drop_white_space(root)
        written = _written(root)
    return Merged(written, replaced) if most is None or len(written) <= most else None


def statement_of(packet: bytes) -> Statement | None:
    """The statement in a packet; None where there is none, or no readable packet."""
    root = _parse(packet)
    if root is None:
        return None
    rdf = next(root.iter(f"{{{RDF}}}RDF"))
    said: dict[str, str] = {}
    for description in rdf.iterchildren(_DESCRIPTION):
        said |= dict(description.attrib)
        said |= {child.tag: child.get(_RESOURCE) or child.text or "" for child in description.iterchildren("*")}
    names = ("Model", "ModelSHA256", "SourceSHA256", "How", "Version")
    ours = [said[f"{{{PHOTOCHROM}}}{name}"] for name in names if f"{{{PHOTOCHROM}}}{name}" in said]
    if len(ours) < len(names):
        return None
    model, model_sha256, source_sha256, how, version = ours
    options = said.get(f"{{{PHOTOCHROM}}}Options")
    return Statement(model, model_sha256, source_sha256, how, version, said.get(_SOURCE_TYPE, ""), options)


def _parser() -> etree.XMLParser:
    """One that follows nothing out of the document, whatever libxml2's defaults are."""
    return etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )


def _parse(packet: bytes) -> etree._Element | None:
    """The root of a readable packet with an rdf:RDF in it."""
    if not packet or len(packet) > MOST_BYTES:
        return None
    try:
        text = _decoded(packet)
        if "<!DOCTYPE" in text:
            return None
        root = etree.fromstring(text.encode(), _parser())
    except (etree.XMLSyntaxError, UnicodeError):
        return None
    return root if next(root.iter(f"{{{RDF}}}RDF"), None) is not None else None


def _decoded(packet: bytes) -> str:
    """A packet in any of the five encodings (part 1, 7.1), by its byte order mark or its first character."""
    for start in ("\ufeff", "<"):
        for encoding in _ENCODINGS:
            if packet.startswith(start.encode(encoding)):
                return packet.decode(encoding).strip("\ufeff\0 \t\r\n")
    return packet.decode().strip("\0 \t\r\n")


def _remove_statement(rdf: etree._Element) -> None:
    for description in list(rdf.iterchildren(_DESCRIPTION)):
        system = description.get(_AI_SYSTEM) or description.findtext(_AI_SYSTEM) or ""
        names = {_SOURCE_TYPE, *((_AI_SYSTEM, _AI_VERSION) if system.startswith(_SYSTEM) else ())}
        attributes = [name for name in description.attrib if name in names or _is_ours(name)]
        elements = [child for child in description.iterchildren("*") if child.tag in names or _is_ours(child.tag)]
        for name in attributes:
            del description.attrib[name]
        for child in elements:
            description.remove(child)
        only_about = all(etree.QName(name).localname == "about" for name in description.attrib)
        if (attributes or elements) and not len(description) and only_about:
            rdf.remove(description)


def _is_ours(name: str) -> bool:
    return name.startswith(f"{{{PHOTOCHROM}}}")


def _add_statement(rdf: etree._Element, statement: Statement) -> None:
    properties = {
        _SOURCE_TYPE: statement.digital_source_type,
        f"{{{PHOTOCHROM}}}Colour": COMPUTED,
        f"{{{PHOTOCHROM}}}Model": statement.model,
        f"{{{PHOTOCHROM}}}ModelSHA256": statement.model_sha256,
        f"{{{PHOTOCHROM}}}SourceSHA256": statement.source_sha256,
        f"{{{PHOTOCHROM}}}Version": statement.version,
        f"{{{PHOTOCHROM}}}How": statement.how,
    }
    if statement.options is not None:
        properties[f"{{{PHOTOCHROM}}}Options"] = statement.options
    if not any(_AI_SYSTEM in (*one.attrib, *(child.tag for child in one)) for one in rdf.iterchildren(_DESCRIPTION)):
        properties |= {_AI_SYSTEM: f"{_SYSTEM}, model {statement.model}", _AI_VERSION: statement.version}
    first = rdf.find(_DESCRIPTION)
    about = "" if first is None else first.get(_ABOUT) or first.get("about") or ""
    description = etree.SubElement(rdf, _DESCRIPTION, {_ABOUT: about}, nsmap=_PREFIXES)
    for name, value in properties.items():
        etree.SubElement(description, name).text = "".join(map(_writable, value))


def _writable(letter: str) -> str:
    """XML cannot hold control characters (XML 1.0, 2.2)."""
    return letter if letter.isprintable() else "\ufffd"


def _drop_white_space(root: etree._Element) -> None:
    """Between elements only, where it means nothing; a text of blanks is a value and stays."""
    for element in root.iter("*"):
        if len(element):
            element.text = None if (element.text or "").isspace() else element.text
            for child in element:
                child.tail = None if (child.tail or "").isspace() else child.tail


def _written(root: etree._Element) -> bytes:
    """Root and what stands beside it, in a wrapper of ours; the old one may state an encoding that is none any more."""
    nodes = [*reversed(list(root.itersiblings(preceding=True))), root, *root.itersiblings()]
    kept = [node for node in nodes if not (node.tag is etree.ProcessingInstruction and node.target == "xpacket")]
    return _HEAD + b"\n".join(etree.tostring(node, encoding="utf-8", with_tail=False) for node in kept) + _TAIL
