"""Whether the coloured file says where it comes from, and says it rightly."""

from __future__ import annotations

import re

from photochrom.worker.verify import xmp
from photochrom.worker.verify.finding import Finding

HOW = ("spliced", "exact", "reencoded", "transcoded")

_NEEDED = ("Colour", "Model", "ModelSHA256", "SourceSHA256", "Version", "How")
_SHA256 = re.compile("[0-9a-f]{64}")


def how(packet: bytes) -> str:
    """How the file says that it was made; "" where it does not."""
    return xmp.ours(xmp.properties(packet) or {}).get("How", "")


def provenance(packet: bytes, source_sha256: str) -> Finding:
    """IPTC's digital source type, and photochrom:* with the SHA-256 of the very original."""
    found = xmp.properties(packet)
    if not found:
        return Finding("provenance", False, "the file has no XMP" if found == {} else "its XMP cannot be read")
    wrong = _wrong(found, xmp.ours(found), source_sha256)
    stated = xmp.ours(found)
    said = f"{stated.get('How')}, by {stated.get('Model')}, Photochrom {stated.get('Version')}"
    return Finding("provenance", not wrong, wrong or said)


def _wrong(found: xmp.Properties, stated: dict[str, str], source_sha256: str) -> str:
    """The first thing that is wrong, in words."""
    if missing := [name for name in _NEEDED if not stated.get(name)]:
        return f"photochrom:{', photochrom:'.join(missing)} missing"
    if not str(found.get(xmp.SOURCE_TYPE, "")).startswith(xmp.SOURCE_TYPES):
        return "Iptc4xmpExt:DigitalSourceType is none of IPTC's terms"
    if stated["SourceSHA256"] != source_sha256:
        return f"it names another source: {stated['SourceSHA256']}, and not {source_sha256}"
    if not _SHA256.fullmatch(stated["ModelSHA256"]):
        return f"photochrom:ModelSHA256 is {stated['ModelSHA256']!r}"
    return "" if stated["How"] in HOW else f"photochrom:How is {stated['How']!r}"
