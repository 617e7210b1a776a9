"""What a result says of itself decides what may take its place."""

import dataclasses
from types import SimpleNamespace

import pytest

from photochrom.worker.jobs.messages import Image, Job
from photochrom.worker.jobs.provenance import Provenance, Standing, provenance_of

CARD = SimpleNamespace(name="champion", sha256="5" * 64)
MINE = Provenance("here", "1", 10, "champion", "5" * 64, "{}", "000000000000002.000000000")


def of(key="in/1.png", etag='"1"', size=10, source="s3://archive/in", epoch=2, promotion=0, **options):
    task = {"source": source, "destination": "s3://coloured/out", "model": "champion", "epoch": epoch}
    image = Image(ordinal=0, key=key, etag=etag, size=size)
    return provenance_of(
        image, Job.parse({"submission": "s", "task": task, "images": [image]}), CARD, promotion, options
    )


@pytest.mark.parametrize(
    ("change", "standing"),
    [
        ({}, Standing.CURRENT),
        ({"model": "another name", "photochrom": "another version"}, Standing.CURRENT),
        ({"order": "000000000000009.000000000"}, Standing.CURRENT),
        ({"order": "000000000000001.000000000"}, Standing.CURRENT),
        ({"source_etag": "2"}, Standing.OLDER),
        ({"source_size": 11}, Standing.OLDER),
        ({"model_sha256": "6" * 64}, Standing.OLDER),
        ({"options": '{"format":"png"}'}, Standing.OLDER),
        ({"model_sha256": "6" * 64, "order": "000000000000001.999999999"}, Standing.OLDER),
        ({"model_sha256": "6" * 64, "order": "000000000000002.000000001"}, Standing.NEWER),
        ({"source_etag": "2", "order": "000000000000003.000000000"}, Standing.NEWER),
        ({"source": "elsewhere"}, Standing.FOREIGN),
        ({"source": "elsewhere", "order": "000000000000001.000000000"}, Standing.FOREIGN),
    ],
)
def test_what_lies_there_is_the_same_work_or_before_it_or_after_it_or_foreign(change, standing):
    assert MINE.standing(dataclasses.replace(MINE, **change).metadata()) is standing


def test_an_object_that_says_nothing_of_itself_is_foreign():
    assert MINE.standing({}) is Standing.FOREIGN
    assert not MINE.has_same_model({})
    assert not MINE.has_same_submission({})


@pytest.mark.parametrize(
    ("change", "same_model", "same_submission"),
    [
        ({}, True, True),
        ({"options": '{"format":"png"}', "source_etag": "2"}, True, True),
        ({"model": "another name", "model_sha256": "6" * 64}, False, True),
        ({"order": "000000000000002.000000007"}, True, True),
        ({"order": "000000000000001.000000000"}, True, False),
        ({"order": "000000000000021.000000000"}, True, False),
    ],
)
def test_model_and_submission_of_a_result_are_told_by_its_metadata(change, same_model, same_submission):
    there = dataclasses.replace(MINE, **change).metadata()
    assert (MINE.has_same_model(there), MINE.has_same_submission(there)) == (same_model, same_submission)


def test_a_result_that_says_nothing_of_its_order_is_older():
    there = dataclasses.replace(MINE, source_etag="2").metadata()
    del there["order"]
    assert MINE.standing(there) is Standing.OLDER


def test_sources_of_the_same_key_in_different_buckets_are_told_apart():
    assert of().source != of(source="s3://another/in").source
    assert of().source != of(key="in/2.png").source
    assert of().source == of(etag="", size=0).source


def test_order_is_that_of_numbers_in_the_text_that_carries_it():
    orders = [of(epoch=epoch, promotion=promotion).order for epoch in (9, 10, 10**12) for promotion in (0, 9, 10)]
    assert orders == sorted(orders)
    assert len(set(orders)) == 9


def test_options_do_not_depend_on_the_order_in_which_they_are_named():
    assert of(a=1, b=None).options == of(b=None, a=1).options != of(a=1, b=2).options


def test_metadata_is_ascii_and_short_whatever_the_key():
    for key in ("in/" + "ö" * 500 + ".png", "in/" + "x" * 1000 + ".png", "in/\n.png"):
        metadata = of(key=key, size=10**13, epoch=10**14, format="jpeg", jpeg_quality=100).metadata()
        text = "".join([*metadata, *metadata.values()])
        assert text.isascii()
        assert text.isprintable()
        assert len(text) < 2000


def test_the_source_is_recorded_as_it_was_fetched():
    fetched = of().of_source('"abc"', 77)
    assert (fetched.source_etag, fetched.source_size) == ("abc", 77)
    assert dataclasses.replace(fetched, source_etag="1", source_size=10) == of()
