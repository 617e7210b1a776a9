"""The chaos driver's own eyes: they see every kind of failure, and nothing where there is none."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from photochrom.worker.errors import ImageFault
from photochrom.worker.photo.base import luma
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.read import read
from tests.chaos import check, inflict, pictures
from tests.chaos.check import Found, Verdict
from tests.chaos.outages import Outage
from tests.chaos.pictures import Judgement, Kind, Picture

PICTURES = [Picture(number, kind) for number, kind in enumerate([Kind.GOOD] * 4 + list(Kind)[1:])]
GOOD, OTHER, POISON = PICTURES[0], PICTURES[1], PICTURES[4]


def result(picture: Picture) -> bytes:
    """What a worker makes of it."""
    gray = luma_of(picture.data())
    return encoded(luma.join(gray, pictures.chroma(gray)))


def luma_of(data: bytes):
    (page,) = read(io.BytesIO(data), Limits(), Options()).pages
    return page.luma


def encoded(rgb) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def found() -> Found:
    """Everything as it should be."""
    bad = {picture.number: picture.kind.value for picture in PICTURES if picture.kind is not Kind.GOOD}
    return Found(
        ended=True,
        ordinals={picture.name: [picture.number] for picture in PICTURES},
        finished={picture.number for picture in PICTURES},
        records={number: [reason] for number, reason in bad.items()},
        done={picture.number for picture in PICTURES} - bad.keys(),
        quarantined=set(bad),
        reasons=dict.fromkeys(bad.values(), 1),
        results={picture.name: result(picture) for picture in PICTURES if picture.kind is Kind.GOOD},
        sources=etags(),
    )


def etags() -> dict[str, str]:
    return {picture.name: f'"{picture.number}"' for picture in PICTURES}


def findings(found: Found) -> dict[str, int]:
    verdict = check.check(PICTURES, etags(), found)
    return {finding: count for finding, count in verdict.counts.items() if count}


def test_nothing_is_found_where_every_promise_held(found: Found) -> None:
    assert findings(found) == {}
    assert Verdict().all_well


def test_an_image_without_an_outcome_is_lost(found: Found) -> None:
    found.finished.remove(GOOD.number)

    assert findings(found) == {check.LOST: 1}


def test_of_a_submission_that_never_ended_only_what_has_no_outcome_anywhere_is_lost(found: Found) -> None:
    found.ended = False
    found.finished.clear()
    found.done.remove(GOOD.number)

    assert findings(found) == {check.LOST: 1}


def test_an_image_that_the_manifest_forgot_is_lost(found: Found) -> None:
    del found.ordinals[GOOD.name]

    assert check.LOST in findings(found)


def test_a_done_image_without_a_result_is_lost(found: Found) -> None:
    del found.results[GOOD.name]

    assert findings(found) == {check.LOST: 1}


def test_a_truncated_result_is_wrong(found: Found) -> None:
    found.results[GOOD.name] = found.results[GOOD.name][:100]

    assert findings(found) == {check.WRONG: 1}


def test_a_result_that_belongs_to_another_image_is_mixed_up(found: Found) -> None:
    found.results[GOOD.name] = found.results[OTHER.name]

    assert findings(found) == {check.MIXED_UP: 1}


def test_the_colours_of_another_image_are_mixed_up(found: Found) -> None:
    mine, others = pictures.gray(GOOD.number), pictures.gray(OTHER.number)
    found.results[GOOD.name] = encoded(luma.join(mine, pictures.chroma(others)))

    assert findings(found) == {check.MIXED_UP: 1}


def test_an_image_with_both_outcomes_ended_twice(found: Found) -> None:
    found.done.add(POISON.number)

    assert findings(found)[check.TWICE] == 1


def test_two_reasons_for_one_image_are_one_too_many(found: Found) -> None:
    found.records[POISON.number].append("damaged")

    assert findings(found)[check.TWICE] == 1


def test_a_good_image_in_quarantine_is_found(found: Found) -> None:
    found.records[GOOD.number] = ["poison"]

    assert findings(found)[check.WRONGLY_QUARANTINED] == 1


def test_poison_with_another_reason_is_found(found: Found) -> None:
    found.records[POISON.number] = ["damaged"]

    assert findings(found)[check.WRONGLY_QUARANTINED] == 1


def test_poison_that_is_done_is_found(found: Found) -> None:
    del found.records[POISON.number]
    found.quarantined.remove(POISON.number)
    found.done.add(POISON.number)

    assert findings(found)[check.NOT_QUARANTINED] == 1


def test_a_ledger_that_differs_from_s3_is_found(found: Found) -> None:
    found.done.remove(GOOD.number)

    assert findings(found) == {check.DISAGREEING: 1}


def test_reasons_counted_twice_are_found(found: Found) -> None:
    found.reasons["poison"] = 2

    assert findings(found) == {check.DISAGREEING: 1}


def test_a_result_of_poison_is_found(found: Found) -> None:
    found.results[POISON.name] = b"?"

    assert findings(found) == {check.STRAY: 1}


@pytest.mark.parametrize("etag", ['"other"', None])
def test_a_source_that_changed_or_vanished_is_found(found: Found, etag: str | None) -> None:
    del found.sources[GOOD.name]
    if etag:
        found.sources[GOOD.name] = etag

    assert findings(found) == {check.TOUCHED: 1}


def test_every_photograph_says_its_number() -> None:
    numbers = [0, 1, 255, 19_999, 2**31]

    assert [pictures.number_of(pictures.gray(number)) for number in numbers] == numbers
    assert pictures.number_of(pictures.gray(7) + 1) is None


def test_its_colours_stay_inside_rgb_so_that_none_is_weakened() -> None:
    for number in range(200):
        assert pictures.judge(number, result(Picture(number, Kind.GOOD))) is Judgement.RIGHT
        assert luma_of(result(Picture(number, Kind.GOOD))).min() > 0


@pytest.mark.parametrize("kind", pictures.BROKEN)
def test_broken_files_have_the_reason_that_is_expected_of_them(kind: Kind) -> None:
    with pytest.raises(ImageFault) as fault:
        luma_of(Picture(5, kind).data())

    assert fault.value.reason == kind.value


def test_the_same_seed_plans_the_same_run() -> None:
    def planned(seed: int) -> object:
        chance = random.Random(seed)
        blows = inflict.plan(chance, kills=9, redis_restarts=3, redis_losses=1, s3_restarts=2, again=4)
        return pictures.plan(100, 3, 2, chance), blows

    assert planned(1) == planned(1) != planned(2)


def test_a_plan_has_all_that_was_asked_for() -> None:
    chance = random.Random(0)
    kinds = [picture.kind for picture in pictures.plan(100, 3, 2, chance)]
    blows = inflict.plan(
        chance, kills=9, redis_restarts=3, redis_losses=1, s3_restarts=2, again=4, outages=[Outage("S3 away", 5)]
    )

    assert kinds.count(Kind.POISON) == 3
    assert all(kinds.count(kind) == 2 for kind in pictures.BROKEN)
    assert len(blows) == 22 + 1
    assert [blow.outage for blow in blows if blow.outage] == [Outage("S3 away", 5)]
    assert sum(blow.what in inflict.KILLS for blow in blows) == 9
    assert sum(blow.what in inflict.TERMS for blow in blows) == 3
    assert all("kill -9" in what for what in inflict.KILLS)
    assert all("SIGTERM" in what for what in inflict.TERMS)
