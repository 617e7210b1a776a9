"""Comparisons of what goes with a picture, field by field: all of the original's has to be there beside ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from photochrom.worker.verify import iptc, xmp
from photochrom.worker.verify.finding import Finding
from photochrom.worker.verify.page import Resolution, Says
from photochrom.worker.verify.resolution import alike
from photochrom.worker.verify.tags import describing

_SHOWN = 5
"""So many of the things that are missing are named."""

_ELSEWHERE = {iptc.IPTC_RESOURCE, iptc.PROFILE_RESOURCE, iptc.XMP_RESOURCE}
"""Image resources that other findings compare."""


def orientation(coloured: Says, original: Says) -> Finding:
    """EXIF's orientation, which is 1 where nothing states it."""
    same = coloured.orientation == original.orientation
    detail = str(coloured.orientation) if same else f"{coloured.orientation}, the original has {original.orientation}"
    return Finding("orientation", same, detail)


def metadata(coloured: Says, original: Says) -> list[Finding]:
    """One finding for each kind of metadata."""
    return [
        _kept("EXIF tags", _tags(coloured), _tags(original)),
        _xmp(coloured, original),
        _kept("IPTC records", iptc.records(coloured.iptc), iptc.records(original.iptc)),
        _kept("image resources", _resources(coloured), _resources(original)),
        _comments(coloured, original),
        _dpi(coloured, original),
    ]


def _kept(name: str, there: Iterable[Any], wanted: Iterable[Any]) -> Finding:
    """Whether all that is wanted is there, as often as it is wanted."""
    what = f"metadata: {name}"
    needed = Counter(wanted)
    if not needed:
        return Finding(what, None, "the original has none")
    missing = list((needed - Counter(there)).elements())
    if not missing:
        return Finding(what, True, f"{needed.total()} of {needed.total()} {name} are there")
    shown = ", ".join(map(_short, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
    return Finding(what, False, f"{len(missing)} of {needed.total()} {name} are missing or altered: {shown}")


def _short(thing: Any) -> str:
    text = " ".join(map(str, thing)).strip() if isinstance(thing, tuple) else str(thing)
    return text if len(text) <= 60 else text[:57] + "..."


def _tags(says: Says) -> Counter[tuple[str, int, str]]:
    """(directory, tag, value); a number counts for what it is, however many bits it was written with."""
    return Counter((path, tag, repr(value)) for (path, tag), value in describing(says.tags).items())


def _xmp(coloured: Says, original: Says) -> Finding:
    what = "metadata: XMP properties"
    wanted, there = (_properties(says) for says in (original, coloured))
    if wanted is None:
        kept = original.xmp in coloured.xmp
        return Finding(what, True if kept else None, "the original's packet is no XMP" + (", and kept" if kept else ""))
    if there is None:
        return Finding(what, False, "the coloured file's packet is no XMP")
    return _kept("XMP properties", *(_flat(xmp.foreign(found)) for found in (there, wanted)))


def _properties(says: Says) -> xmp.Properties | None:
    main, extended = xmp.properties(says.xmp), xmp.properties(says.extended_xmp)
    return None if main is None else main | (extended or {})


def _flat(found: xmp.Properties) -> Counter[tuple[str, str]]:
    return Counter((name, repr(value)) for name, value in found.items())


def _resources(says: Says) -> Counter[tuple[int, bytes]]:
    found = iptc.resources(says.photoshop)
    return Counter((number, content) for number, content in found.items() if number not in _ELSEWHERE)


def _comments(coloured: Says, original: Says) -> Finding:
    """Texts; their keywords count only where both files can have them."""
    keyed = all(keyword for says in (coloured, original) for keyword, _ in says.comments)
    there, wanted = ([pair if keyed else pair[1] for pair in says.comments] for says in (coloured, original))
    return _kept("comments", there, wanted)


def _dpi(coloured: Says, original: Says) -> Finding:
    what, there, wanted = "metadata: resolution", coloured.dpi, original.dpi
    if wanted is None:
        return Finding(what, None, "the original states none")
    same = there is not None and alike(wanted, there)
    return Finding(what, same, _shown(there) if same else f"{_shown(there)}, the original has {_shown(wanted)}")


def _shown(dpi: Resolution | None) -> str:
    return f"{float(dpi.across):g} x {float(dpi.down):g} dpi" if dpi else "none"
