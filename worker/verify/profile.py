"""Whether a neutral pixel looks under the new profile as it did under the old one, by littleCMS."""

from __future__ import annotations

import imagecodecs
import numpy as np

from photochrom.worker.verify.finding import Finding
from photochrom.worker.verify.page import Says

STEPS = 4096
MOST_DIFFERENCE = 0.1
"""Of L*, a* and b*: a tenth of what an eye can see."""

_GRAY, _RGB = b"GRAY", b"RGB "
_NAMES = {_GRAY: "gray", _RGB: "rgb"}
_RELATIVE_COLORIMETRIC = 1


def profile(coloured: Says, original: Says) -> Finding:
    """The profile of a gray or RGB original, carried over to RGB."""
    old, new = original.icc, coloured.icc
    if not old and not new:
        return Finding("profile", None, "neither file has one")
    if old and old == new and _space(old) == _RGB:
        return Finding("profile", True, "the original's own")
    if old and _space(old) not in _NAMES:
        return Finding("profile", None, f"the original's is for {_space(old).decode('latin-1').strip()}: converted")
    if not new:
        return Finding("profile", False, "the original's is lost")
    if _space(new) != _RGB:
        return Finding("profile", False, f"a profile for {_space(new).decode('latin-1').strip()} in a coloured file")
    try:
        difference = float(abs(_neutrals(new) - _neutrals(old or _srgb())).max())
    except (RuntimeError, ValueError) as error:
        return Finding("profile", False, f"littleCMS cannot use it: {error}")
    ends = "" if old else "; the original has none, which means sRGB"
    detail = f"neutrals differ by up to {difference:.3f} of L*, a* or b*{ends}"
    return Finding("profile", difference <= MOST_DIFFERENCE, detail)


def _space(profile: bytes) -> bytes:
    """The data colour space, bytes 16 to 19 of the header (ICC.1, 7.2.6)."""
    return profile[16:20]


def _neutrals(profile: bytes) -> np.ndarray:
    """L*, a*, b* of a ramp from black to white, float (STEPS, 3)."""
    ramp = np.linspace(0, 65535, STEPS).round().astype(np.uint16)[None]
    space = _NAMES[_space(profile)]
    samples = ramp if space == "gray" else np.ascontiguousarray(np.repeat(ramp[..., None], 3, axis=2))
    lab = imagecodecs.cms_transform(
        samples,
        profile,
        imagecodecs.cms_profile("lab4"),
        colorspace=space,
        outcolorspace="lab",
        outdtype=np.float64,
        intent=_RELATIVE_COLORIMETRIC,
    )
    return lab.reshape(-1, 3)


def _srgb() -> bytes:
    return imagecodecs.cms_profile("srgb")
