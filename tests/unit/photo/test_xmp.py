"""A packet says what a result is, and all that it said before."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from photochrom.worker.photo.metadata import xmp
from photochrom.worker.photo.metadata.xmp import Merged, Statement, merge, statement_of
from tests.examples import examples

STATEMENT = Statement("vgg16-yuv 3", "a" * 64, "b" * 64, "exact", "0.1.0")
OTHER = Statement("autoencoder", "c" * 64, "d" * 64, "reencoded", "0.2.0", "http://example.org/other")

HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
PHOTOGRAPH = f"""{HEAD}
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 5.6-c140">
 <!-- from the reading room -->
 <rdf:RDF {RDF}>
  <rdf:Description rdf:about="uuid:faf5bdd5"
    xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
    dc:format="image/tiff" photoshop:Credit="City Archive">
   <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Wien, Graben &amp; Kohlmarkt</rdf:li></rdf:Alt></dc:title>
   <dc:subject><rdf:Bag><rdf:li>  </rdf:li><rdf:li>Straße \u2013 1901</rdf:li></rdf:Bag></dc:subject>
   <xmpMM:History><rdf:Seq><rdf:li stEvt:action="saved" stEvt:when="2009-01-01"/></rdf:Seq></xmpMM:History>
  </rdf:Description>
  <rdf:Description rdf:about="uuid:faf5bdd5" xmlns:xmp="http://ns.adobe.com/xap/1.0/">
   <xmp:CreatorTool>Scanner 7</xmp:CreatorTool>
   <xmp:Rating>5</xmp:Rating>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
{" " * 2000}
<?xpacket end="w"?>"""

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def packet(properties="", about='rdf:about=""'):
    description = f"<rdf:Description {about} {properties}"
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}>{description}</rdf:RDF></x:xmpmeta>'


def canonical(data):
    """What a packet says beside our statement, in the one form that XML has for it."""
    root = etree.fromstring(data)
    for element in list(
        root.iter("{*}DigitalSourceType", "{*}AISystemUsed", "{*}AISystemVersionUsed", f"{{{xmp.PHOTOCHROM}}}*")
    ):
        element.getparent().remove(element)
    for description in list(root.iter("{*}Description")):
        if not len(description) and list(description.attrib) == [f"{{{xmp.RDF}}}about"]:
            description.getparent().remove(description)
    return etree.tostring(root, method="c14n2", strip_text=True)


def properties_of(data):
    return {etree.QName(one).localname: one.text for one in etree.fromstring(data).iter("{*}*") if one.text}


def merged(data, statement=STATEMENT):
    result = merge(data, statement)
    assert not result.replaced
    return result.packet


# ---- what is said


def test_a_photograph_without_a_packet_gets_one():
    result = merge(b"", STATEMENT)
    assert not result.replaced
    assert statement_of(result.packet) == STATEMENT
    said = properties_of(result.packet)
    assert said["Colour"] == "computed"
    assert said["DigitalSourceType"] == SOURCE_TYPE + "compositeWithTrainedAlgorithmicMedia"
    assert (said["AISystemUsed"], said["AISystemVersionUsed"]) == ("Photochrom, model vgg16-yuv 3", "0.1.0")


@pytest.mark.parametrize("data", [b"", PHOTOGRAPH.encode(), packet("/>").encode()])
def test_a_packet_has_its_wrapper_and_nothing_around_it(data):
    written = merged(data)
    assert written.startswith(HEAD.encode())
    assert written.endswith(b'<?xpacket end="w"?>')
    assert written.count(b"<?xpacket") == 2
    assert b"<?xml" not in written


def test_everything_that_was_said_is_still_said():
    written = merged(PHOTOGRAPH.encode())
    assert canonical(written) == canonical(PHOTOGRAPH.encode())
    assert statement_of(written) == STATEMENT
    assert b"<!-- from the reading room -->" in written
    assert b"<rdf:li>  </rdf:li>" in written
    assert written.index(b"dc:title") < written.index(b"dc:subject") < written.index(b"CreatorTool")


def test_another_reader_finds_it():
    descriptions = ElementTree.fromstring(merged(PHOTOGRAPH.encode()).decode()).findall(".//{*}Description")
    assert {one.get(f"{{{xmp.RDF}}}about") for one in descriptions} == {"uuid:faf5bdd5"}
    assert descriptions[-1].findtext("{http://ns.photochrom.org/1.0/}ModelSHA256") == "a" * 64
    assert descriptions[1].findtext("{http://ns.adobe.com/xap/1.0/}Rating") == "5"


@pytest.mark.parametrize("about", ['rdf:about=""', 'rdf:about="uuid:1"', 'about="uuid:1"', ""])
def test_the_statement_is_about_what_the_packet_is_about(about):
    written = merged(packet('xmlns:a="http://a/" a:b="c"/>', about).encode())
    stated = etree.fromstring(written).findall(".//{*}Description")[-1].get(f"{{{xmp.RDF}}}about")
    assert stated == ("uuid:1" if "uuid" in about else "")


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_packet_in_any_encoding_is_read_and_written_in_utf_8(encoding):
    assert merged(PHOTOGRAPH.encode(encoding)) == merged(PHOTOGRAPH.encode())
    without_wrapper = packet('xmlns:a="http://a/" a:b="Straße"/>')
    assert "Straße".encode() in merged(without_wrapper.encode(encoding))


def test_a_packet_of_an_old_wrapper_loses_the_encoding_that_it_states():
    data = PHOTOGRAPH.replace(HEAD, HEAD.replace("?>", ' bytes="999" encoding="UTF-16"?>')).encode("utf-16")
    assert merged(data) == merged(PHOTOGRAPH.encode())
    declared = '<?xml version="1.0" encoding="UTF-16"?>' + packet('xmlns:a="http://a/" a:b="c"/>')
    assert b"a:b" in merged(declared.encode("utf-16"))


@pytest.mark.parametrize("padding", [b"\0", b"\0" * 100, b" \n", b"\r\n\0"])
def test_what_fills_a_packet_up_is_left_aside(padding):
    assert merged(PHOTOGRAPH.encode() + padding) == merged(PHOTOGRAPH.encode())
    assert merge(padding, STATEMENT) == merge(b"", STATEMENT)


@pytest.mark.parametrize("data", [b"", PHOTOGRAPH.encode()])
def test_a_former_statement_is_replaced(data):
    assert merged(merged(data, OTHER)) == merged(data)
    assert merged(merged(data)) == merged(data)


@pytest.mark.parametrize(
    "former",
    [
        'xmlns:e="{0}" e:DigitalSourceType="x"/>',
        'xmlns:e="{0}"><e:DigitalSourceType>x</e:DigitalSourceType></rdf:Description>',
        'xmlns:e="{0}"><e:DigitalSourceType rdf:resource="x"/></rdf:Description>',
        'xmlns:e="{0}" xmlns:photochrom="http://ns.photochrom.org/1.0/" photochrom:Model="x" photochrom:Old="x"/>',
        'xmlns:e="{0}" e:AISystemUsed="Photochrom, model x" e:AISystemVersionUsed="x"/>',
    ],
)
def test_in_whatever_notation_a_former_statement_stands_it_is_replaced(former):
    written = merged(packet(former.format(xmp.IPTC_EXTENSION)).encode())
    assert written == merged(packet("/>").replace('<rdf:Description rdf:about="" />', "").encode())


def test_an_empty_description_of_others_stays():
    assert merged(packet("/>").encode()).count(b"<rdf:Description") == 2


def test_another_system_s_name_stays():
    written = merged(
        packet(f'xmlns:e="{xmp.IPTC_EXTENSION}" e:AISystemUsed="Upscaler" e:AISystemVersionUsed="9"/>').encode()
    )
    assert b'AISystemUsed="Upscaler"' in written
    assert b'AISystemVersionUsed="9"' in written
    assert written.count(b"AISystemUsed") == 1
    assert statement_of(written) == STATEMENT


def test_a_statement_is_found_in_either_notation():
    names = {"Model": "m", "ModelSHA256": "1", "SourceSHA256": "2", "How": "spliced", "Version": "3"}
    attributes = " ".join(f'p:{name}="{value}"' for name, value in names.items())
    elements = "".join(f"<p:{name}>{value}</p:{name}>" for name, value in names.items())
    space = f'xmlns:p="{xmp.PHOTOCHROM}"'
    expected = Statement("m", "1", "2", "spliced", "3", "")
    assert statement_of(packet(f"{space} {attributes}/>").encode()) == expected
    assert statement_of(packet(f"{space}>{elements}</rdf:Description>").encode()) == expected


@pytest.mark.parametrize(
    "data", [b"", PHOTOGRAPH.encode(), b"<x", packet(f'xmlns:p="{xmp.PHOTOCHROM}" p:Model="m"/>').encode()]
)
def test_no_statement_is_found_where_there_is_none(data):
    assert statement_of(data) is None


@given(model=st.text(max_size=40), how=st.text(max_size=10))
@examples(60)
def test_any_words_can_be_stated(model, how):
    stated = statement_of(merged(PHOTOGRAPH.encode(), Statement(model, "", "", how)))
    assert (stated.model, stated.how) == tuple(
        "".join(c if c.isprintable() else "\ufffd" for c in x) for x in (model, how)
    )


def test_the_same_input_gives_the_same_bytes():
    assert merge(PHOTOGRAPH.encode(), STATEMENT) == merge(PHOTOGRAPH.encode(), STATEMENT)


# ---- what does not fit, and what cannot be read


def test_a_packet_that_would_be_too_long_loses_its_white_space_first():
    whole = merged(PHOTOGRAPH.encode())
    assert merge(PHOTOGRAPH.encode(), STATEMENT, len(whole)) == Merged(whole, False)
    shorter = merge(PHOTOGRAPH.encode(), STATEMENT, len(whole) - 1)
    assert len(shorter.packet) < len(whole)
    assert canonical(shorter.packet) == canonical(whole)
    assert b"<rdf:li>  </rdf:li>" in shorter.packet
    assert merge(PHOTOGRAPH.encode(), STATEMENT, len(shorter.packet)) == shorter
    assert merge(PHOTOGRAPH.encode(), STATEMENT, len(shorter.packet) - 1) is None


BOMB = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(12))


@pytest.mark.parametrize(
    "data",
    [
        b"no XML at all",
        b"<x:xmpmeta>",
        b"<a><b></a></b>",
        b"<a/>",
        b"\xff\xff\xff",
        b"\xfe\xff\xd8",
        PHOTOGRAPH.encode()[:900],
        PHOTOGRAPH.replace("&amp;", "&nbsp;").encode(),
        PHOTOGRAPH.encode("latin-1", "replace").replace(b"Stra", b"Str\xe4"),
        PHOTOGRAPH.replace("<x:xmpmeta", f'<!DOCTYPE x [<!ENTITY e0 "x">{BOMB}]><x:xmpmeta', 1)
        .replace("Scanner", "&e12;")
        .encode(),
        PHOTOGRAPH.replace("<x:xmpmeta", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><x:xmpmeta', 1).encode(),
        ("<a>" * 5000 + "</a>" * 5000).encode(),
        packet("/>").encode() + b" " * xmp.MOST_BYTES,
    ],
    ids=range(13),
)
def test_a_packet_that_cannot_be_read_is_replaced_and_the_caller_told(data):
    result = merge(data, STATEMENT)
    assert result == Merged(merge(b"", STATEMENT).packet, True)
    assert statement_of(data) is None


changes = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)


@given(changes=changes)
@examples(150)
def test_whatever_is_changed_in_a_packet_there_is_a_statement_in_the_end(changes):
    data = bytearray(re.sub(" {2000}", " ", PHOTOGRAPH).encode())
    for place, value in changes:
        data[place % len(data)] = value
    result = merge(bytes(data), STATEMENT)
    assert statement_of(result.packet) == STATEMENT
    if not result.replaced:
        assert canonical(result.packet) == canonical(bytes(data))
