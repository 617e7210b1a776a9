"""ICC profiles: the one that belongs into a coloured file, given the one of its gray source.

A gray profile is invalid in a file of three components, and without any profile a neutral pixel would look different.
So its tone curve goes into an RGB profile of the matrix kind, for red, green and blue alike (ICC.1:2022, F.2 and F.3).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from photochrom.worker.errors import ImageFault

MOST_BYTES = 16_000_000
"""About what the 255 segments of a JPEG can hold."""

MOST_TAGS = 1000

SAMPLES = 16 * 255 + 1
"""Of a tone curve converted from L*: each 8-bit level is one of them."""

_HEADER = 128

# sRGB's primaries, adapted to D50 by Bradford, in s15Fixed16; rounded so that red, green and blue add up to exactly
# the white of the profile connection space (ICC.1:2022, 7.2.16): a neutral pixel is as neutral as it was in gray.
_RED, _GREEN, _BLUE = (28578, 14582, 913), (25235, 46981, 6361), (9377, 3973, 46787)
_WHITE = (63190, 65536, 54061)

# Tags that are as true of the new profile as of the gray one.
_CARRIED = (b"wtpt", b"bkpt", b"chad", b"lumi", b"cprt", b"dmnd", b"dmdd", b"tech", b"view", b"vued", b"meas", b"calt")

# A lookup table from the device's side: where there is one, it counts and not the tone curve (ICC.1:2022, 8.10.2).
_TABLES = (b"A2B", b"D2B")


class _Profile(NamedTuple):
    header: bytes
    tags: dict[bytes, bytes]

    @property
    def is_new(self) -> bool:
        """Whether it is of version 4 or later, whose texts are stored in another way."""
        return self.header[8] >= 4


def colour_space(profile: bytes) -> str:
    """The data colour space that a profile states (ICC.1:2022, 7.2.6): "GRAY", "RGB", "CMYK" ...

    Raises ImageFault ("profile") for what is no profile.
    """
    if len(profile) < _HEADER or profile[36:40] != b"acsp":
        raise ImageFault("profile", "the colour profile is damaged: it has no header")
    if len(profile) > MOST_BYTES:
        raise ImageFault("profile", f"the colour profile has {len(profile):,} bytes")
    return profile[16:20].decode("ascii", "replace").strip()


def for_colour(profile: bytes) -> bytes:
    """The profile for the coloured file: none for none, one for RGB as it stands, one for RGB made from one for gray.

    The made one has the gray one's tone curve, byte for byte, three times (converted, where it leads to L* instead of
    luminance), its date, white point and copyright, and says so in its description; the same input gives the same
    bytes. Raises ImageFault ("profile") where neutral pixels would not look as they did: for other colour spaces, for
    gray profiles with lookup tables, for damaged ones.
    """
    if not profile:
        return b""
    space = colour_space(profile)
    if space == "RGB":
        return profile
    if space != "GRAY":
        raise ImageFault("profile", f"the colour profile is one for {space}, neither gray nor RGB")
    try:
        return _from_gray(_parse(profile))
    except (struct.error, ValueError, IndexError) as error:
        raise ImageFault("profile", f"the colour profile is damaged: {error}") from error


def _from_gray(gray: _Profile) -> bytes:
    kind, connection = gray.header[12:16], gray.header[20:24]
    if kind not in (b"scnr", b"mntr", b"prtr", b"spac"):
        raise ImageFault("profile", f"the colour profile is of the class {kind!r}")
    if any(name.startswith(_TABLES) for name in gray.tags):
        raise ImageFault("profile", "the gray profile has lookup tables, which no RGB profile can carry over")
    if b"kTRC" not in gray.tags:
        raise ImageFault("profile", "the gray profile has no tone curve")
    curve = gray.tags[b"kTRC"]
    tones = _tones(curve)
    if connection == b"Lab ":
        curve = _sampled(_luminance(tones))
    elif connection != b"XYZ ":
        raise ImageFault("profile", f"the gray profile leads to {connection!r}")
    tags = {b"desc": _description(gray)}
    tags |= {name: data for name, data in gray.tags.items() if name in _CARRIED}
    tags |= {b"wtpt": _xyz(_WHITE)} if b"wtpt" not in tags else {}
    tags |= {b"rXYZ": _xyz(_RED), b"gXYZ": _xyz(_GREEN), b"bXYZ": _xyz(_BLUE)}
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    return _assembled(_rgb_header(gray.header), tags)


def _parse(profile: bytes) -> _Profile:
    """Header and tags (ICC.1:2022, 7.2 and 7.3)."""
    size, count = struct.unpack_from(">I", profile)[0], struct.unpack_from(">I", profile, _HEADER)[0]
    if not _HEADER + 4 <= size <= len(profile):
        raise ValueError(f"it states {size:,} bytes and has {len(profile):,}")
    if count > MOST_TAGS:
        raise ValueError(f"it states {count:,} tags")
    tags = {}
    for at in range(_HEADER + 4, _HEADER + 4 + 12 * count, 12):
        name, start, length = struct.unpack_from(">4sII", profile, at)
        if start + length > size:
            raise ValueError(f"its tag {name!r} lies outside")
        tags[name] = profile[start : start + length]
    return _Profile(profile[:_HEADER], tags)


def _rgb_header(header: bytes) -> bytes:
    """The same header for three components. The checksum of the old profile goes (ICC.1:2022, 7.2.18: zero is none).

    Only input and display profiles may be of the matrix kind (8.3.3, 8.4.3).
    """
    kind = header[12:16] if header[12:16] == b"scnr" else b"mntr"
    return header[:12] + kind + b"RGB XYZ " + header[24:84] + bytes(16) + header[100:]


def _assembled(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A profile; tags of the same content share it, each begins at a multiple of four (ICC.1:2022, 7.3.1)."""
    places: dict[bytes, int] = {}
    body = b""
    first = _HEADER + 4 + 12 * len(tags)
    for data in tags.values():
        if data not in places:
            places[data] = first + len(body)
            body += data + bytes(-len(data) % 4)
    table = b"".join(struct.pack(">4sII", name, places[data], len(data)) for name, data in tags.items())
    rest = header[4:] + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(rest) + 4) + rest


def _tones(curve: bytes) -> np.ndarray:
    """What SAMPLES even steps from black to white become, 0..1, by a curve (ICC.1:2022, 10.6 and 10.18).

    Raises ValueError or struct.error for what is no curve.
    """
    levels = np.linspace(0, 1, SAMPLES)
    if curve[:4] == b"curv":
        return _by_table(curve, levels)
    if curve[:4] == b"para":
        return np.clip(_by_formula(curve, levels), 0, 1)
    raise ValueError("its tone curve is none")


def _by_table(curve: bytes, levels: np.ndarray) -> np.ndarray:
    count = struct.unpack_from(">I", curve, 8)[0]
    table = np.frombuffer(curve, ">u2", count, 12)
    if count == 0:
        return levels
    if count == 1:
        return levels ** (int(table[0]) / 256)
    return np.interp(levels * (count - 1), np.arange(count), table / 65535)


_PARAMETERS = (1, 3, 4, 5, 7)
"""How many each function type of a parametric curve has."""


def _by_formula(curve: bytes, levels: np.ndarray) -> np.ndarray:
    kind = struct.unpack_from(">H", curve, 8)[0]
    if kind >= len(_PARAMETERS):
        raise ValueError("its tone curve has an unknown formula")
    stated = [number / 65536 for number in struct.unpack_from(f">{_PARAMETERS[kind]}i", curve, 12)]
    gamma, slope, offset = [*stated, 1.0, 0.0][:3] if kind == 0 else stated[:3]
    inner = slope * levels + offset
    with np.errstate(divide="ignore", over="ignore"):  # a negative exponent, or one in the thousands
        power = np.maximum(inner, 0) ** gamma
    if kind == 0:
        return power
    if kind in (1, 2):
        return power + (stated[3] if kind == 2 else 0.0)
    linear, start = stated[3:5]
    above, below = stated[5:7] if kind == 4 else (0.0, 0.0)
    return np.where(levels >= start, power + above, linear * levels + below)


def _luminance(lightness: np.ndarray) -> np.ndarray:
    """CIE L* / 100 to Y, 0..1 (ISO 11664-4)."""
    f = (100 * lightness + 16) / 116
    return np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))


def _sampled(tones: np.ndarray) -> bytes:
    table = np.rint(np.clip(tones, 0, 1) * 65535).astype(">u2")
    return struct.pack(">4sII", b"curv", 0, len(table)) + table.tobytes()


def _xyz(numbers: tuple[int, int, int]) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *numbers)


def _description(gray: _Profile) -> bytes:
    """What the profile calls itself: textDescriptionType before version 4 (ICC.1:2001-04, 6.5.17), 10.15 since."""
    text = f"{_stated_description(gray.tags.get(b'desc', b''))} (RGB, by Photochrom)"
    if gray.is_new:
        encoded = text.encode("utf-16-be")
        return struct.pack(">4sIII2s2sII", b"mluc", 0, 1, 12, b"en", b"US", len(encoded), 28) + encoded
    encoded = text.encode("ascii", "replace") + b"\0"
    return struct.pack(">4sII", b"desc", 0, len(encoded)) + encoded + bytes(4 + 4 + 2 + 1 + 67)


def _stated_description(tag: bytes) -> str:
    text = ""
    if tag[:4] == b"desc" and len(tag) > 12:
        text = tag[12 : 12 + struct.unpack_from(">I", tag, 8)[0]].decode("ascii", "replace")
    elif tag[:4] == b"mluc" and len(tag) >= 28:
        length, at = struct.unpack_from(">II", tag, 20)
        text = tag[at : at + length].decode("utf-16-be", "replace")
    return "".join(letter for letter in text if letter.isprintable()).strip()[:200] or "Gray"
