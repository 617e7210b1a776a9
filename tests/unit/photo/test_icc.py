"""The profile of a coloured file shows neutral pixels as the gray one did; littleCMS is the judge."""

import io
import struct

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.metadata import icc
from tests.examples import examples

LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NO_OPTIMIZATION = 0x100

WHITE = struct.pack(">4sI3i", b"XYZ ", 0, 63190, 65536, 54061)


def gamma(exponent):
    return struct.pack(">4sIIH", b"curv", 0, 1, round(exponent * 256))


def table(values):
    return struct.pack(">4sII", b"curv", 0, len(values)) + np.asarray(values, ">u2").tobytes()


def formula(kind, *parameters):
    return struct.pack(f">4sIHH{len(parameters)}i", b"para", 0, kind, 0, *(round(65536 * one) for one in parameters))


CURVES = {
    "identity": table([]),
    "gamma 1.8": gamma(1.8),
    "gamma 2.2": gamma(2.2),
    "table": table(np.linspace(0, 1, 256) ** 1.7 * 65535),
    "short table": table([0, 1000, 30000, 65535]),
    "formula 0": formula(0, 2.2),
    "formula 1": formula(1, 2.0, 0.9, 0.1),
    "formula 2": formula(2, 2.0, 0.8, 0.1, 0.1),
    "formula 3": formula(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
    "formula 4": formula(4, 2.4, 0.9, 0.1, 0.5, 0.05, 0.03, 0.01472),
}


def text(words, version):
    if version == 4:
        encoded = words.encode("utf-16-be")
        return struct.pack(">4sIII4sII", b"mluc", 0, 1, 12, b"enUS", len(encoded), 28) + encoded
    return struct.pack(">4sII", b"desc", 0, len(words) + 1) + words.encode() + bytes(79)


def profile(curve=CURVES["gamma 2.2"], connection=b"XYZ ", version=2, kind=b"mntr", space=b"GRAY", **more):
    """A profile of our own making: no library at hand makes gray ones. `more` are tags, None to leave one out."""
    tags = {
        "desc": text("Dot Gain 20%", version),
        "cprt": text("none", 4) if version == 4 else b"text\0\0\0\0none\0",
        "wtpt": WHITE,
        "kTRC": curve,
    } | more
    tags = {name.encode(): data for name, data in tags.items() if data is not None}
    entries = body = b""
    for name, data in tags.items():
        entries += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    date = struct.pack(">6H", 2001, 2, 3, 4, 5, 6)
    head = (
        b"lcms" + bytes((version, 0x20, 0, 0)) + kind + space + connection + date + b"acspAPPL" + bytes(24) + WHITE[8:]
    )
    rest = head.ljust(124, b"\0") + struct.pack(">I", len(tags)) + entries + body
    return struct.pack(">I", len(rest) + 4) + rest


def lab_of_ramp(of, levels, dtype):
    """CIE L*a*b*, floating point, of neutral pixels of all levels 0..levels-1."""
    ramp = np.arange(levels)[None].astype(dtype)
    is_gray = icc.colour_space(of) == "GRAY"
    lab = imagecodecs.cms_transform(
        ramp if is_gray else np.repeat(ramp[..., None], 3, -1),
        of,
        LAB,
        colorspace="gray" if is_gray else "rgb",
        outcolorspace="lab",
        outdtype=np.uint16,
        intent=1,
        flags=NO_OPTIMIZATION,
    )
    return lab * np.array([100 / 65535, 255 / 65535, 255 / 65535])


def furthest(gray, colour, levels=65536, dtype=np.uint16):
    """The largest colour difference (CIE 1976) of a neutral pixel under the two profiles."""
    return np.linalg.norm(lab_of_ramp(gray, levels, dtype) - lab_of_ramp(colour, levels, dtype), axis=-1).max()


def tags_of(made):
    count = struct.unpack_from(">I", made, 128)[0]
    entries = [struct.unpack_from(">4sII", made, 132 + 12 * number) for number in range(count)]
    return {name.decode(): made[at : at + length] for name, at, length in entries}


def outside():
    """A profile whose copyright ends a byte behind it."""
    data = profile(cprt=b"text\0\0\0\0none")
    at = data.index(b"cprt")
    start = struct.unpack_from(">I", data, at + 4)[0]
    return data[: at + 8] + struct.pack(">I", len(data) - start + 1) + data[at + 12 :]


def reason(data):
    with pytest.raises(ImageFault) as told:
        icc.for_colour(data)
    return told.value.reason, str(told.value)


# ---- what is carried over


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("kind", [b"mntr", b"scnr", b"prtr", b"spac"])
@pytest.mark.parametrize("curve", CURVES)
def test_a_tone_curve_to_luminance_is_carried_over_byte_for_byte(curve, kind, version):
    gray = profile(CURVES[curve], version=version, kind=kind)
    colour = icc.for_colour(gray)
    tags = tags_of(colour)
    assert [tags[name] for name in ("rTRC", "gTRC", "bTRC")] == [CURVES[curve]] * 3
    assert furthest(gray, colour) == 0
    assert furthest(gray, colour, 256, np.uint8) == 0


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("curve", CURVES)
def test_a_tone_curve_to_lightness_is_converted(curve, version):
    gray = profile(CURVES[curve], connection=b"Lab ", version=version)
    colour = icc.for_colour(gray)
    assert furthest(gray, colour) < 0.02
    assert furthest(gray, colour, 256, np.uint8) < 0.01
    assert furthest(profile(CURVES[curve]), colour) > 3  # taken for luminance it would look altogether different


@given(
    values=st.lists(st.integers(0, 65535), min_size=2, max_size=300).map(sorted),
    version=st.sampled_from([2, 4]),
    connection=st.sampled_from([b"XYZ ", b"Lab "]),
)
@examples(40)
def test_any_rising_table_is_carried_over(values, version, connection):
    gray = profile(table(values), connection=connection, version=version)
    colour = icc.for_colour(gray)
    assert furthest(gray, colour, 256, np.uint8) < (0.02 if connection == b"Lab " else 1e-9)


def test_pillow_reads_the_profile_and_sees_no_difference():
    gray = profile(CURVES["table"])
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    shown = [
        ImageCms.profileToProfile(
            ramp.convert(mode),
            ImageCms.ImageCmsProfile(io.BytesIO(data)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
            flags=NO_OPTIMIZATION,  # without it, littleCMS is two levels off for 8-bit gray, and exact for RGB
        )
        for mode, data in (("L", gray), ("RGB", icc.for_colour(gray)))
    ]
    off = np.asarray(shown[0]).astype(int) - np.asarray(shown[1])
    assert abs(off).max() <= 1
    assert (off != 0).mean() < 0.01


def test_red_green_and_blue_are_those_of_srgb():
    made = tags_of(icc.for_colour(profile()))
    srgb = tags_of(SRGB)
    for name in ("rXYZ", "gXYZ", "bXYZ"):
        np.testing.assert_allclose(
            np.frombuffer(made[name], ">i4", 3, 8) / 65536, np.frombuffer(srgb[name], ">i4", 3, 8) / 65536, atol=5e-4
        )
    total = sum(np.frombuffer(made[name], ">i4", 3, 8).astype(int) for name in ("rXYZ", "gXYZ", "bXYZ"))
    assert total.tolist() == np.frombuffer(WHITE, ">i4", 3, 8).tolist()


@pytest.mark.parametrize("version", [2, 4])
def test_date_white_point_and_copyright_stay_and_the_description_says_what_was_done(version):
    point = struct.pack(">4sI3i", b"XYZ ", 0, 62000, 65536, 56000)
    gray = profile(version=version, wtpt=point, ps2i=b"data1234", A2Xx=b"what nobody knows")
    colour = icc.for_colour(gray)
    tags = tags_of(colour)
    assert (tags["wtpt"], tags["cprt"]) == (point, tags_of(gray)["cprt"])
    assert "ps2i" not in tags
    assert colour[24:36] == gray[24:36]
    assert colour[8:12] == gray[8:12]
    said = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(colour)))
    assert said.strip() == "Dot Gain 20% (RGB, by Photochrom)"


@pytest.mark.parametrize("described", [b"", b"desc", b"mluc" + bytes(40), b"desc\0\0\0\0\xff\xff\xff\xff\x07\x08"])
def test_a_profile_that_does_not_describe_itself_is_carried_over(described):
    colour = icc.for_colour(profile(desc=described, wtpt=None))
    said = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(colour)))
    assert said.strip() == "Gray (RGB, by Photochrom)"
    assert tags_of(colour)["wtpt"] == WHITE


@pytest.mark.parametrize("kind", [b"prtr", b"spac"])
def test_only_input_and_display_profiles_are_of_the_matrix_kind(kind):
    assert icc.for_colour(profile(kind=kind))[12:16] == b"mntr"
    assert icc.for_colour(profile(kind=b"scnr"))[12:16] == b"scnr"


def test_the_checksum_of_the_old_profile_goes():
    gray = profile(version=4)
    signed = gray[:84] + bytes(range(16)) + gray[100:]
    assert icc.for_colour(signed) == icc.for_colour(gray)


def test_the_three_curves_are_stored_once():
    values = np.linspace(0, 65535, 4096)
    gray = profile(table(values))
    assert len(icc.for_colour(gray)) < len(gray) + 300


def test_the_same_profile_gives_the_same_bytes():
    assert icc.for_colour(profile()) == icc.for_colour(profile())


def test_no_profile_and_an_rgb_profile_stay_as_they_are():
    assert icc.for_colour(b"") == b""
    assert icc.for_colour(SRGB) == SRGB
    made = icc.for_colour(profile())
    assert icc.for_colour(made) == made
    assert icc.colour_space(made) == "RGB"


def test_bytes_behind_a_profile_are_left_aside():
    assert icc.for_colour(profile() + bytes(100)) == icc.for_colour(profile())


# ---- what is not


@pytest.mark.parametrize("space", [b"CMYK", b"Lab ", b"5CLR", b"HSV ", b"\xff\0\0\0"])
def test_other_colour_spaces_are_refused(space):
    assert reason(profile(space=space))[0] == "profile"


@pytest.mark.parametrize("tag", ["A2B0", "A2B1", "A2B2", "D2B0"])
def test_a_gray_profile_with_a_lookup_table_is_refused_even_with_a_tone_curve(tag):
    assert reason(profile(**{tag: b"mft2" + bytes(60)})) == (
        "profile",
        "the gray profile has lookup tables, which no RGB profile can carry over",
    )
    assert reason(profile(kTRC=None, **{tag: b"mft2" + bytes(60)}))[0] == "profile"


@pytest.mark.parametrize(
    "broken",
    {
        "no tone curve": profile(kTRC=None),
        "a curve of another type": profile(b"mft1" + bytes(40)),
        "a curve cut off": profile(table(range(100))[:-2]),
        "a formula cut off": profile(formula(3, 2.4, 1, 0, 0)),
        "an unknown formula": profile(formula(5, 1, 1, 1, 1, 1, 1, 1)),
        "a link": profile(kind=b"link"),
        "another connection space": profile(connection=b"Luv "),
        "a tag that lies outside": outside(),
        "2,000 tags": profile(**{f"{number:04}": b"" for number in range(2000)}),
        "no header": profile()[:127],
        "no signature": profile()[:36] + b"xxxx" + profile()[40:],
        "cut off": profile()[:-1],
        "no tags": profile()[:130],
        "too long": profile() + bytes(icc.MOST_BYTES),
        "a million tags": profile()[:128] + struct.pack(">I", 1_000_000) + profile()[132:],
    }.items(),
    ids=lambda pair: pair[0],
)
def test_a_damaged_profile_is_refused_in_words(broken):
    word, message = reason(broken[1])
    assert word == "profile"
    assert "profile" in message


changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6)


@given(changes=changes, lightness=st.booleans(), curve=st.sampled_from(sorted(CURVES)))
@examples(300)
def test_whatever_is_changed_in_a_profile_it_is_carried_over_or_refused(changes, lightness, curve):
    data = bytearray(profile(CURVES[curve], connection=b"Lab " if lightness else b"XYZ "))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        assert icc.colour_space(icc.for_colour(bytes(data))) == "RGB"
    except ImageFault as fault:
        assert fault.reason == "profile"
