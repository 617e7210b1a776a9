"""The original comes back byte for byte, or not at all."""

import hashlib
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.jpeg.kept import NAME, Stretch, assemble, keep, restore
from photochrom.worker.photo.jpeg.segments import APP9, MOST_PAYLOAD, SOI, segment

LIMITS = Limits()
START = bytes((0xFF, SOI))
END = b"\xff\xd9"


@st.composite
def originals_and_pieces(draw):
    """An original, and a plain file made of stretches of it, in order, and new bytes; it begins as a JPEG does."""
    original = START + draw(st.binary(max_size=300))
    cuts = sorted(draw(st.lists(st.integers(2, len(original)), max_size=8)))
    stretches = [Stretch(start, end) for start, end in zip(cuts[::2], cuts[1::2], strict=False)]
    pieces = [Stretch(0, 2)]
    for stretch in stretches:
        pieces += [draw(st.binary(max_size=20)), stretch]
    return original, [*pieces, END]


@given(originals_and_pieces())
def test_what_was_kept_gives_the_original_back(case):
    original, pieces = case
    pieces = [pieces[0], END, *pieces[1:]]  # the header ends here: whatever follows is not looked at
    whole = assemble(original, [pieces[0], keep(original, pieces), *pieces[1:]])
    assert restore(whole, LIMITS) == original


def made(original=START + b"some bytes" + b"more" * 100, pieces=None):
    pieces = pieces or [Stretch(0, 2), END, Stretch(2, 8), b"new", Stretch(9, len(original))]
    return original, assemble(original, [pieces[0], keep(original, pieces), *pieces[1:]])


def test_a_sum_that_is_known_need_not_be_made_again():
    original, pieces = START + b"some bytes", [Stretch(0, 2), END]
    known = hashlib.sha256(original).hexdigest()
    assert keep(original, pieces, known) == keep(original, pieces)
    assert keep(original, pieces, "0" * 64) != keep(original, pieces)


def test_much_that_is_kept_takes_several_segments(rng):
    tail = rng.bytes(3 * MOST_PAYLOAD)
    original, whole = made(START + END + tail, [Stretch(0, 2), END])
    assert whole.count(b"\xff\xe9") >= 4
    assert restore(whole, LIMITS) == original


def test_a_file_that_keeps_no_original_says_so():
    with pytest.raises(ImageFault) as told:
        restore(START + END, LIMITS)
    assert told.value.reason == "not-restorable"


def test_a_coloured_file_changed_anywhere_is_never_restored_to_something_else():
    original, whole = made()
    for at in range(2, len(whole)):
        changed = whole[:at] + bytes((whole[at] ^ 0x55,)) + whole[at + 1 :]
        try:
            assert restore(changed, LIMITS) == original  # a byte that no part of the original was copied from
        except ImageFault as fault:
            assert fault.reason in ("damaged", "not-restorable")


def test_a_coloured_file_cut_short_anywhere_is_never_restored_to_something_else():
    original, whole = made()
    for length in range(len(whole)):
        with pytest.raises(ImageFault):
            restore(whole[:length], LIMITS)
    assert restore(whole, LIMITS) == original


def forged(description, literals=b""):
    packed = zlib.compress(json.dumps(description).encode() + b"\n" + literals)
    return START + segment(APP9, NAME + b"\0\1\0\1" + packed) + END


@pytest.mark.parametrize(
    "parts",
    [
        [[0, 4]] * 1000,
        [[10**12]],
        [[2, -1], [1]],
        [["0", 1]],
        [[1, 2, 3]],
        [[]],
        "parts",
        [[0, 10**12]],
    ],
)
def test_a_forged_description_makes_no_gigabytes_and_no_crash(parts):
    size = sum(part[-1] for part in parts if part and isinstance(part[-1], int)) if isinstance(parts, list) else 0
    with pytest.raises(ImageFault) as told:
        restore(forged({"version": 1, "sha256": "0" * 64, "size": size, "parts": parts}), LIMITS)
    assert told.value.reason == "damaged"


def test_what_inflates_to_more_than_its_parts_say_is_not_inflated():
    bomb = forged({"version": 1, "sha256": "0" * 64, "size": 4, "parts": [[4]]}, bytes(2**24))
    with pytest.raises(ImageFault):
        restore(bomb, LIMITS)
