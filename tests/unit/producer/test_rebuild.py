"""Redis may be lost: the ledger comes back from S3."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.producer.client.lifecycle import cancel
from photochrom.producer.control.rebuild import bitmap, ensure_epoch
from photochrom.worker.ledger import keys
from photochrom.worker.ledger.ledger import Ledger
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Location
from tests.ticks import advance, advance_all


def bits(held, name, part):
    return {number for number in range(16) if held.ledger._redis.getbit(keys.of(name, part), number)}


def test_after_redis_was_lost_the_ledger_knows_what_s3_knows(held, half):
    before = held.ledger.cursor(half.name), held.ledger.counts(half.name)
    epoch = held.ledger.epoch()
    held.ledger._redis.flushall()
    assert ensure_epoch(held)
    assert (held.ledger.cursor(half.name), held.ledger.counts(half.name)) == before
    assert held.ledger.counts(half.name).reasons == {"empty": 1, "damaged": 1}
    assert held.ledger.active() == [half.name]
    [page] = held.ledger.pages(half.name)
    assert (page.number, page.first, page.images, page.sent) == (1, 3, 3, 0.0)
    assert held.ledger.epoch() not in (None, epoch)
    assert {held.ledger._redis.ttl(key) for key in held.ledger._redis.keys("photochrom:submission:*")} == {-1}


def test_a_submission_goes_on_to_its_end_after_redis_was_lost(held, half, sent, with_pages_of):
    held.ledger._redis.flushall()
    advance_all()
    few = with_pages_of(3)
    advance(half, few)
    for ordinal in range(7):
        held.ledger.record_done(half.name, ordinal)
    advance(half, few)
    assert held.ledger.active() == []
    ended = json.loads(held.store.get("photochrom-state", state_keys.ended(half.name)).data)
    assert (ended["total"], ended["done"], ended["quarantined"]) == (7, 5, 2)


def test_the_true_redis_is_left_as_it_is(held, half):
    before = held.ledger.epoch()
    assert ensure_epoch(held)
    assert held.ledger.epoch() == before
    assert [page.sent > 0 for page in held.ledger.pages(half.name)] == [True]


def test_another_redis_than_the_one_that_s3_knows_is_rebuilt_too(held, half):
    held.ledger.set_epoch("another")
    held.ledger._redis.delete(keys.of(half.name, "done"))
    assert ensure_epoch(held)
    assert held.ledger.counts(half.name).done == 2


def test_nothing_is_advanced_while_another_process_rebuilds(held, half, sent):
    held.ledger._redis.flushall()
    sent.clear()
    with Ledger(held.settings).lock("rebuild"):
        assert not ensure_epoch(held)
        advance_all()
    assert (sent, held.ledger.active(), held.ledger.epoch()) == ([], [], None)


def test_an_image_of_an_unfinished_page_that_has_a_record_and_is_done_is_done(held, half):
    held.ledger._redis.flushall()
    held.ledger.record_done(half.name, 4)  # by a worker that knew nothing of its quarantine
    held.ledger.record_done(half.name, 5)
    assert ensure_epoch(held)
    assert (bits(held, half.name, "done"), bits(held, half.name, "quarantined")) == ({0, 2, 4, 5}, {1})
    assert held.ledger.counts(half.name).reasons == {"empty": 1}


def test_what_s3_says_of_a_finished_page_holds(held, half):
    held.ledger._redis.flushall()
    held.ledger.record_quarantined(half.name, 0, "poison")  # done, says S3
    held.ledger.record_done(half.name, 1)  # quarantined, says S3
    assert ensure_epoch(held)
    assert (bits(held, half.name, "done"), bits(held, half.name, "quarantined")) == ({0, 2}, {1, 4})
    assert held.ledger.counts(half.name).reasons == {"empty": 1, "damaged": 1}
    assert held.ledger.faults(half.name) == {4: "damaged"}


@pytest.mark.parametrize("ordinal", [3, 4])
def test_a_quarantine_between_listing_and_merging_is_counted_with_its_reason(
    held, half, monkeypatch, ordinal, quarantine
):
    held.ledger._redis.flushall()
    merge = held.ledger.merge

    def meanwhile(*arguments):
        quarantine(half.name, ordinal, "vanished")
        merge(*arguments)

    monkeypatch.setattr(held.ledger, "merge", meanwhile)
    assert ensure_epoch(held)
    assert bits(held, half.name, "quarantined") == {1, 4, ordinal}
    counted = {3: {"empty": 1, "damaged": 1, "vanished": 1}, 4: {"empty": 1, "vanished": 1}}
    assert held.ledger.counts(half.name) == (2, len({1, 4, ordinal}), counted[ordinal])


def test_a_page_that_finished_with_a_quarantined_image_counts_it_once(held, half):
    held.ledger._redis.flushall()
    ensure_epoch(held)
    assert (bits(held, half.name, "done"), bits(held, half.name, "quarantined")) == ({0, 2}, {1, 4})


def test_ended_submissions_are_not_rebuilt_and_cancelled_ones_stay_cancelled(held, sent, fill, submitted):
    fill(2)
    ended, stopped = submitted(name="ended"), submitted(name="stopped")
    for submission in (ended, stopped):
        advance(submission, held)
    for ordinal in range(2):
        held.ledger.record_done("ended", ordinal)
    advance(ended, held)
    cancel("stopped", held)
    held.ledger._redis.flushall()
    ensure_epoch(held)
    assert held.ledger.active() == ["stopped"]
    assert held.ledger.is_cancelled("stopped")
    assert stopped.name == "stopped"


@given(ordinals=st.sets(st.integers(0, 200)))
def test_bits_are_numbered_as_redis_does(ordinals):
    data = bitmap(sorted(ordinals))
    assert {n for n in range(8 * len(data)) if data[n // 8] & (128 >> n % 8)} == ordinals


def test_a_submission_that_cannot_be_read_waits_alone_until_it_can(held, half, submitted, sent, caplog):
    other = submitted(name="other")
    page = state_keys.page(half.name, 1)
    before = held.store.get("photochrom-state", page).data
    held.store.put("photochrom-state", page, b'{"number": 1}')
    held.ledger._redis.flushall()
    advance_all()
    assert held.ledger.active() == [other.name]
    assert held.ledger.cursor(other.name)["total"] == "7"
    assert f"submission {half.name} waits" in caplog.text
    assert page in caplog.text
    held.store.put("photochrom-state", page, before)
    advance_all()
    assert held.ledger.active() == [half.name, other.name]
    assert held.ledger.counts(half.name).done == 2


STRANGE = ("junk", "000000000001.json", "1.2.3.json", "٣.damaged.json", "99999999999.damaged.json")


@pytest.mark.parametrize("name", STRANGE)
def test_an_object_of_a_strange_name_among_the_records_counts_for_nothing(held, half, name):
    before = held.ledger.counts(half.name)
    held.store.put("photochrom-state", state_keys.quarantines(half.name) + name, b"{}")
    held.store.put("photochrom-state", state_keys.outcomes(half.name) + name, b"{}")
    held.ledger._redis.flushall()
    assert ensure_epoch(held)
    assert (held.ledger.active(), held.ledger.counts(half.name)) == ([half.name], before)


@pytest.mark.parametrize("record", [b"{}", b"[]", b'{"quarantined": 1}'])
def test_a_malformed_outcome_makes_its_submission_wait(held, half, submitted, record):
    other = submitted(name="other")
    [listed] = held.store.list(Location("photochrom-state", state_keys.outcomes(half.name)))
    held.store.put("photochrom-state", listed.key, record)
    for found in held.store.list(Location("photochrom-state", state_keys.quarantines(half.name))):
        held.store.delete("photochrom-state", found.key)
    held.ledger._redis.flushall()
    assert ensure_epoch(held)
    assert (held.ledger.active(), held.ledger.waiting()) == ([other.name], [half.name])


@pytest.mark.parametrize("record", [b"{}", b'{"epoch": 7}'])
def test_an_epoch_that_is_none_is_replaced(held, half, record):
    held.store.put("photochrom-state", state_keys.EPOCH, record)
    assert ensure_epoch(held)
    assert json.loads(held.store.get("photochrom-state", state_keys.EPOCH).data) == {"epoch": held.ledger.epoch()}


def test_a_submission_that_was_removed_is_waited_for_no_longer(held, half):
    held.store.put("photochrom-state", state_keys.page(half.name, 1), b"")
    held.ledger._redis.flushall()
    assert ensure_epoch(held)
    assert held.ledger.waiting() == [half.name]
    for listed in held.store.list(Location("photochrom-state", state_keys.SUBMISSIONS)):
        held.store.delete("photochrom-state", listed.key)
    assert ensure_epoch(held)
    assert (held.ledger.waiting(), held.ledger.active()) == ([], [])
