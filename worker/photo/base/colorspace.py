"""RGB <-> YUV, in one place, with constants that undo each other exactly.

"YUV" is the field's loose name for what JPEG stores: full-range Y'CbCr of ITU-T T.871 (JFIF), whose weights are those
of ITU-R BT.601. Here luma is in 0..1 and the two chroma planes, U (blue minus luma) and V (red minus luma), are centred
on 0 and lie in -0.5..0.5. A plain gray has chroma 0, but for rounding. Networks that end in a sigmoid give chroma plus
a half; the half is added and taken off with `CHROMA_OFFSET`, nowhere else.
"""

from __future__ import annotations

from typing import Any

KR, KG, KB = 0.299, 0.587, 0.114
"""Share of red, green and blue in luma (BT.601)."""

U_SCALE = 2 * (1 - KB)  # 1.772: blue  = luma + U_SCALE * U
V_SCALE = 2 * (1 - KR)  # 1.402: red   = luma + V_SCALE * V
G_FROM_U = -KB * U_SCALE / KG  # -0.344136: green = luma + G_FROM_U * U + G_FROM_V * V
G_FROM_V = -KR * V_SCALE / KG  # -0.714136

CHROMA_OFFSET = 0.5

CONSTANTS = {"space": "BT.601 full range", "kr": KR, "kg": KG, "kb": KB, "chroma_offset": CHROMA_OFFSET}
"""What a checkpoint's card records, so that a model is never decoded with other constants than its own."""

Planes = Any
"""A numpy array or a torch tensor: the two functions below use arithmetic that both have."""


def split(rgb: Planes) -> tuple[Planes, Planes, Planes]:
    """RGB in 0..1, shape (3, ...), to (luma 0..1, U, V in -0.5..0.5), each of shape (...)."""
    red, green, blue = rgb
    luma = KR * red + KG * green + KB * blue
    return luma, (blue - luma) / U_SCALE, (red - luma) / V_SCALE


def join(luma: Planes, u: Planes, v: Planes) -> tuple[Planes, Planes, Planes]:
    """Luma 0..1 and chroma -0.5..0.5 to (red, green, blue), unclipped: the inverse of `split`."""
    return luma + V_SCALE * v, luma + G_FROM_U * u + G_FROM_V * v, luma + U_SCALE * u
