"""How a file is damaged: anywhere, or where its format is most vulnerable. All of it by a random number generator."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

from tests.unit.photo.generate import png

Damage = Callable[[bytes, random.Random], bytes]

NUMBERS = (0, 1, 2, 3, 7, 8, 9, 63, 64, 127, 128, 255, 256, 257, 4095, 32767, 32768, 60000, 65534, 65535, 65536)
NUMBERS += (2**24, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
"""What headers are broken by: small ones, ends of ranges, and what overflows when it is multiplied."""


def number(rng: random.Random, data: bytes, bits: int) -> int:
    """An absurd number of so many bits, or one that points somewhere into the file."""
    return rng.choice([*NUMBERS, len(data), len(data) - 1, rng.randrange(len(data) + 1), rng.getrandbits(32)]) % 2**bits


# ---- anywhere


def cut_off(data: bytes, rng: random.Random) -> bytes:
    """The beginning of the file."""
    return data[: rng.randrange(len(data))]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """1 to 8 bits turned round."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8])):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    """A few bytes replaced by noise, zeros or ones."""
    start, size = rng.randrange(len(data)), rng.choice([1, 2, 4, 16, 64])
    return data[:start] + rng.choice([rng.randbytes(size), bytes(size), b"\xff" * size]) + data[start + size :]


def leave_out(data: bytes, rng: random.Random) -> bytes:
    """Some bytes in the middle are gone."""
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice([1, 2, 16, 100]) :]


def repeat(data: bytes, rng: random.Random) -> bytes:
    """Some bytes come twice, or very often."""
    start, size = rng.randrange(len(data)), rng.choice([1, 4, 16, 100])
    piece = data[start : start + size]
    return data[:start] + piece * rng.choice([2, 2, 3, 2000]) + data[start + size :]


def put_number(data: bytes, rng: random.Random) -> bytes:
    """An absurd number anywhere, of 16 or 32 bits, in either byte order."""
    start, bits = rng.randrange(len(data)), rng.choice([16, 32])
    packed = struct.pack(rng.choice("<>") + ("H" if bits == 16 else "I"), number(rng, data, bits))
    return data[:start] + packed + data[start + len(packed) :]


ANYWHERE: tuple[Damage, ...] = (cut_off, flip_bits, flip_bits, overwrite, leave_out, repeat, put_number)


# ---- JPEG


def jpeg_segment(data: bytes, rng: random.Random) -> bytes:
    """One segment is altered, lost, doubled, put elsewhere, or lies about its length."""
    places = [place for place in range(2, len(data) - 4) if data[place] == 0xFF and 0xC0 <= data[place + 1] <= 0xFE]
    if not places:
        return flip_bits(data, rng)
    start = rng.choice(places)
    stop = min(start + 2 + int.from_bytes(data[start + 2 : start + 4], "big"), len(data))
    piece, rest = data[start:stop], data[:start] + data[stop:]
    elsewhere = rng.choice([*places, len(rest)])
    return rng.choice(
        [
            rest,
            data[:start] + piece + data[start:],
            rest[:elsewhere] + piece + rest[elsewhere:],
            data[: start + 2] + struct.pack(">H", number(rng, data, 16)) + data[start + 4 :],
            data[: start + 1] + bytes([rng.randrange(0xC0, 0xFF)]) + data[start + 2 :],
            data[: start + 4] + overwrite(piece[4:] or b"\0", rng) + data[stop:],
        ]
    )


def jpeg_frame(data: bytes, rng: random.Random) -> bytes:
    """The frame header says something absurd: precision, size, number of components, sampling, table."""
    places = [
        place for place in range(2, len(data) - 13) if data[place] == 0xFF and data[place + 1] in (0xC0, 0xC1, 0xC2)
    ]
    if not places:
        return flip_bits(data, rng)
    changed = bytearray(data)
    start = places[0] + 4
    for _ in range(rng.choice([1, 1, 2])):
        if rng.random() < 0.5:
            side = start + rng.choice([1, 3])
            changed[side : side + 2] = struct.pack(">H", number(rng, data, 16))
        else:
            changed[start + rng.choice([0, 5, 6, 7, 8])] = number(rng, data, 8)
    return bytes(changed)


def jpeg_scan(data: bytes, rng: random.Random) -> bytes:
    """A marker in the middle of the entropy-coded bytes, or somewhere else."""
    start = data.rfind(b"\xff\xda") if rng.random() < 0.5 else data.find(b"\xff\xda")
    place = rng.randrange(max(start, 0) + 1, len(data) + 1)
    marker = bytes([0xFF, rng.choice([0, 0xD0, 0xD3, 0xD7, 0xD8, 0xD9, 0xDA, 0xDC, 0xE9, 0xFF, rng.randrange(256)])])
    return data[:place] + marker + data[place + rng.choice([0, 2]) :]


# ---- PNG


def png_chunk(data: bytes, rng: random.Random) -> bytes:
    """One chunk is altered (with its checksum made to fit), lost, doubled, put elsewhere, or lies about its length."""
    chunks = _chunks(data)
    if not chunks:
        return flip_bits(data, rng)
    at = rng.randrange(len(chunks))
    name, content = chunks[at]
    if rng.random() < 0.5:
        kind = rng.choice([flip_bits, overwrite, leave_out, repeat, put_number])
        chunks[at] = (name, kind(content, rng) if content else b"\0")
    else:
        rng.choice([chunks.pop, lambda at: chunks.insert(0, chunks[at]), lambda at: chunks.append(chunks[at])])(at)
        if rng.random() < 0.3:
            rng.shuffle(chunks)
    return png.SIGNATURE + b"".join(png.chunk(*pair) for pair in chunks)


def png_pixels(data: bytes, rng: random.Random) -> bytes:
    """The pixels are a stream of another length, a bomb, or no stream at all."""
    chunks = [pair for pair in _chunks(data) if pair[0] != b"IDAT"]
    stream = rng.choice([_bomb(), zlib.compress(rng.randbytes(99)), rng.randbytes(50), b"", b"x\x9c"])
    chunks.insert(max(len(chunks) - 1, 0), (b"IDAT", stream))
    return png.SIGNATURE + b"".join(png.chunk(*pair) for pair in chunks)


@cache
def _bomb() -> bytes:
    return zlib.compress(bytes(10**8))


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], 8
    while place + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        found.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    return found


# ---- TIFF


def tiff_entry(data: bytes, rng: random.Random) -> bytes:
    """Entries of the first directory say something absurd: tag, type, count, value, or where the next one is."""
    order = "<" if data[:2] == b"II" else ">"
    big = len(data) > 16 and struct.unpack_from(order + "H", data, 2)[0] == 43
    header, count_format, size, offset = (16, "Q", 20, "Q") if big else (8, "H", 12, "I")
    if len(data) < header:
        return flip_bits(data, rng)
    (place,) = struct.unpack_from(order + offset, data, header // 2)
    count_size = struct.calcsize(count_format)
    if place + count_size > len(data):
        return flip_bits(data, rng)
    (count,) = struct.unpack_from(order + count_format, data, place)
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        entry = place + count_size + size * rng.randrange(min(count, 60) + 1)
        at, width = rng.choice([(0, 2), (2, 2), (4, size // 2 - 2), (size // 2 + 2, size // 2 - 2)])
        packed = number(rng, data, 8 * width).to_bytes(width, "little" if order == "<" else "big")
        changed[entry + at : entry + at + width] = packed
    return bytes(changed)


BY_KIND: dict[str, tuple[Damage, ...]] = {
    "jpeg": (jpeg_segment, jpeg_segment, jpeg_frame, jpeg_scan),
    "archived": (jpeg_segment, jpeg_segment, jpeg_frame, jpeg_scan),
    "png": (png_chunk, png_chunk, png_chunk, png_pixels),
    "tiff": (tiff_entry, tiff_entry, tiff_entry, tiff_entry),
}
"""Damage that only one format knows; the others have ANYWHERE."""
