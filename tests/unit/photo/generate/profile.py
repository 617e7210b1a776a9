"""Small ICC profiles (ICC.1:2022) of one tone curve, gray or RGB."""

from __future__ import annotations

import struct

_PRIMARIES = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.7141),
}
"""sRGB's, adapted to D50."""

_D50 = (0.96420, 1.0, 0.82491)


def gamma_curve(gamma: float) -> bytes:
    """A curveType of one number."""
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def gray_profile(gamma: float = 2.2) -> bytes:
    """A display profile for gray, with XYZ as its connection space."""
    return _profile(b"GRAY", {b"wtpt": _xyz(_D50), b"kTRC": gamma_curve(gamma)})


def rgb_profile(gamma: float = 2.2) -> bytes:
    """Its counterpart for RGB: sRGB's primaries, and the same curve three times."""
    curves = dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma_curve(gamma))
    return _profile(b"RGB ", {b"wtpt": _xyz(_D50), **{name: _xyz(xyz) for name, xyz in _PRIMARIES.items()}, **curves})


def _xyz(value: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(part * 65536) for part in value))


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _description(b"Photochrom's tests"), b"cprt": b"text" + bytes(4) + b"none\0\0\0\0", **tags}
    table, body, place = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = bytearray(128)
    header[0:4] = struct.pack(">I", place + len(body))
    header[8:12], header[12:16], header[16:20], header[20:24] = b"\2\x20\0\0", b"mntr", space, b"XYZ "
    header[24:36] = struct.pack(">6H", 1901, 1, 1, 0, 0, 0)
    header[36:40] = b"acsp"
    header[68:80] = _xyz(_D50)[8:]
    return bytes(header) + struct.pack(">I", len(tags)) + table + body


def _description(text: bytes) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + b"\0" + bytes(4 + 4 + 2 + 1 + 67)
