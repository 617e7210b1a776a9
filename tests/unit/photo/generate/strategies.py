"""Gray JPEGs of every make as a hypothesis strategy, and a grid of sizes and modes."""

from __future__ import annotations

from itertools import product
from typing import get_args

from hypothesis import strategies as st

from tests.unit.photo.generate.jpeg import APP0, Kind, Mode
from tests.unit.photo.generate.metadata import EXIF, PHOTOSHOP, XMP
from tests.unit.photo.generate.profile import gray_profile

sizes = st.one_of(st.integers(1, 9), st.integers(10, 70))

# application segments that nobody knows, of many sizes; those that mean something to somebody are made by `Kind`
segments = st.lists(st.tuples(st.integers(APP0 + 3, APP0 + 8), st.binary(max_size=300)), max_size=3)

trailing = st.one_of(st.just(b""), st.binary(max_size=50), st.just(b"\xff\xd8\xff\xe0 a second picture \xff\xd9"))


@st.composite
def kinds(draw: st.DrawFn) -> Kind:
    """Any combination that Kind can make, apart from what baseline forbids."""
    mode: Mode = draw(st.sampled_from(get_args(Mode)))
    end = draw(st.sampled_from([True, True, False]))
    slots = st.integers(0, 3 if mode in ("progressive", "extended") else 1)
    return Kind(
        width=draw(sizes),
        height=draw(sizes),
        seed=draw(st.integers(0, 3)),
        quality=draw(st.sampled_from([1, 30, 75, 95, 100])),
        mode=mode,
        restart=draw(st.sampled_from([0, 0, 1, 3, 7])),
        component=draw(st.sampled_from([0, 1, 2, 3, 42, 255])),
        sampling=draw(st.sampled_from([0x11, 0x22, 0x21, 0x12, 0x41, 0x44])),
        quantisation_slot=draw(st.integers(0, 3)),
        huffman_slots=(draw(slots), draw(slots)),
        tables=draw(st.sampled_from(["as they are", "together", "with others"])),
        wide_quantisation=mode == "extended" and draw(st.booleans()),
        jfif=draw(st.booleans()),
        adobe=draw(st.booleans()),
        number_of_lines=draw(st.sampled_from(["in the frame", "in the frame", "twice", "behind the scan"])),
        fill=draw(st.sampled_from([0, 0, 1, 5])),
        exif=draw(st.sampled_from([b"", EXIF])),
        xmp=draw(st.sampled_from([b"", XMP])),
        icc=draw(st.sampled_from([b"", gray_profile()])),
        icc_part=draw(st.sampled_from([100, 65_000])),
        photoshop=draw(st.sampled_from([b"", PHOTOSHOP])),
        comments=draw(st.sampled_from([(), (b"One",), (b"One", b"Two \xe4\0")])),
        others=tuple(draw(segments)),
        trailing=draw(trailing) if end else b"",
        end=end,
        dpi=draw(st.sampled_from([(1, 1), (300, 300), (72, 600)])),
    )


def grid() -> list[Kind]:
    """Every mode, with and without restart markers, at sizes around those of blocks, and one by one."""
    sides = (1, 2, 7, 8, 9, 15, 16, 17, 33)
    return [
        Kind(width=width, height=height, mode=mode, restart=restart)
        for width, height in product(sides, sides)
        for mode in get_args(Mode)
        for restart in (0, 2)
    ]
