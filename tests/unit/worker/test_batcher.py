"""Many threads ask, one computes; each gets its own answer or its own error, and nobody waits for ever."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.worker.errors import OutOfMemoryFault, WorkerFault
from photochrom.worker.inference import batcher as module
from photochrom.worker.inference.batcher import Batcher, Batching

LONG = 60.0
"""Seconds that no test waits: what comes before did not come because of the time."""

FULL = Batching(images=4, wait=LONG, pixels=10**6)


class Model:
    """Stands in for a network: the answer to a picture of tone t is t, and of a vividness v it is t + v."""

    def __init__(self, fits=10**6):
        self.batches, self.fits = [], fits
        self.may_compute = threading.Event()
        self.may_compute.set()

    def __call__(self, grays, vividness):
        self.may_compute.wait()
        self.batches.append([int(gray.flat[0]) for gray in grays])
        if sum(gray.size for gray in grays) > self.fits:
            raise OutOfMemoryFault("out of memory on the device")
        if any(gray.flat[0] == 255 for gray in grays):
            raise ValueError("no picture")
        tones = np.array([gray.flat[0] + (vividness or 0) for gray in grays], np.float32)
        return np.broadcast_to(tones[:, None, None, None], (len(grays), 2, 1, 1))


def gray(tone, height=2, width=3):
    return np.full((height, width), tone, np.uint8)


def tone(answer):
    return float(answer.flat[0])


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def start():
    """Makes batchers, and ends them."""
    made = []

    def make(*arguments):
        made.append(Batcher(*arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_full_batch_goes_at_once_and_everyone_gets_his_own(model, start):
    batcher = start(model, FULL)
    answers = [batcher.submit(gray(number)) for number in range(4)]
    assert [tone(answer.result()) for answer in answers] == [0, 1, 2, 3]
    assert model.batches == [[0, 1, 2, 3]]


def test_a_batch_that_does_not_fill_goes_when_its_oldest_has_waited(model, start):
    assert tone(start(model, FULL._replace(wait=0.01)).predict(gray(7))) == 7


def test_only_pictures_of_one_size_and_one_vividness_go_together(model, start):
    model.may_compute.clear()
    batcher = start(model, FULL)
    kinds = [(gray(1), None), (gray(2, 3, 2), None), (gray(3), 0.5), (gray(4), 0.0)]
    answers = [batcher.submit(*kind) for _ in range(4) for kind in kinds]
    model.may_compute.set()
    assert [tone(answer.result()) for answer in answers] == 4 * [1, 2, 3.5, 4]
    assert sorted(model.batches) == [[1] * 4, [2] * 4, [3] * 4, [4] * 4]


def test_a_full_batch_does_not_wait_for_an_older_one_that_is_not(model, start):
    batcher = start(model, FULL)
    alone = batcher.submit(gray(9, 5, 5))
    assert [tone(answer.result()) for answer in [batcher.submit(gray(1)) for _ in range(4)]] == [1] * 4
    assert not alone.done()
    batcher.close()
    assert tone(alone.result()) == 9


def test_a_batch_has_no_more_pixels_than_its_budget(model, start):
    batcher = start(model, FULL._replace(pixels=13))
    answers = [batcher.submit(gray(number)) for number in range(4)]
    assert [tone(answer.result()) for answer in answers] == [0, 1, 2, 3]
    assert model.batches == [[0, 1], [2, 3]]


def test_a_picture_that_is_larger_than_the_budget_goes_alone(model, start):
    assert tone(start(model, FULL._replace(pixels=1)).predict(gray(3))) == 3


def test_what_waits_meanwhile_makes_the_next_batch(model, start):
    model.may_compute.clear()
    batcher = start(model, FULL._replace(wait=0.001))
    answers = [batcher.submit(gray(number)) for number in range(8)]
    model.may_compute.set()
    assert [tone(answer.result()) for answer in answers] == list(range(8))
    assert len(model.batches) <= 3


def test_who_comes_when_too_many_wait_is_let_in_later(model, start):
    model.may_compute.clear()
    batcher = start(model, FULL)
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(batcher.predict, gray(number)) for number in range(40)]
        while len(batcher._owner._waiting) < module.WAITING_BATCHES * FULL.images:
            pass
        assert len(batcher._owner._waiting) == module.WAITING_BATCHES * FULL.images
        model.may_compute.set()
        assert [tone(answer.result()) for answer in answers] == list(range(40))


def test_a_failure_goes_to_its_own_caller_only(model, start):
    batcher = start(model, FULL)
    answers = [batcher.submit(gray(number)) for number in (1, 255, 3, 4)]
    assert [tone(answer.result()) for answer in (answers[0], *answers[2:])] == [1, 3, 4]
    with pytest.raises(ValueError, match="no picture"):
        answers[1].result()


def test_a_device_that_fails_is_not_asked_for_each_picture(start):
    asked = []

    def broken(grays, vividness):
        asked.append(len(grays))
        raise WorkerFault("the device failed")

    batcher = start(broken, FULL)
    answers = [batcher.submit(gray(number)) for number in range(4)]
    for answer in answers:
        with pytest.raises(WorkerFault, match="the device failed"):
            answer.result()
    assert asked == [4]


@given(st.integers(1, 12), st.integers(6, 80))
def test_where_memory_runs_out_batches_are_halved_until_they_fit(images, fits):
    model = Model(fits)
    batcher = Batcher(model, Batching(images, LONG, 10**6))
    try:
        answers = [batcher.submit(gray(number)) for number in range(images)]
        assert [tone(answer.result()) for answer in answers] == list(range(images))
    finally:
        batcher.close()
    went_well = [number for batch in model.batches if 6 * len(batch) <= fits for number in batch]
    assert sorted(went_well) == list(range(images))


def test_a_picture_that_does_not_fit_alone_fails_alone(start):
    model = Model(fits=11)
    batcher = start(model, FULL._replace(wait=0.001))
    large = batcher.submit(gray(9, 3, 4))
    answers = [batcher.submit(gray(number)) for number in range(4)]
    assert [tone(answer.result()) for answer in answers] == [0, 1, 2, 3]
    with pytest.raises(OutOfMemoryFault):
        large.result()


def test_after_memory_ran_out_batches_stay_smaller_for_a_while(start, monkeypatch):
    monkeypatch.setattr(module, "BATCHES_UNTIL_LARGER", 3)
    model = Model(fits=12)
    batcher = start(model, FULL._replace(pixels=24))

    def ask(pictures):
        model.batches.clear()
        for answer in [batcher.submit(gray(number)) for number in range(pictures)]:
            answer.result()
        return [len(batch) for batch in model.batches]

    assert ask(4) == [4, 2, 2]
    model.fits = 24
    assert ask(2) == [2]
    assert ask(4) == [4]


def test_closing_answers_who_waits_and_lets_nobody_in(model, start):
    model.may_compute.clear()
    batcher = start(model, FULL)
    answers = [batcher.submit(gray(number)) for number in range(6)]
    batcher.close()
    with pytest.raises(WorkerFault, match="has ended"):
        batcher.predict(gray(0))
    model.may_compute.set()
    assert [tone(answer.result()) for answer in answers] == list(range(6))


def test_who_waits_for_a_place_is_told_when_it_is_closed(model, start):
    model.may_compute.clear()
    batcher = start(model, FULL)
    with ThreadPoolExecutor(32) as pool:
        answers = [pool.submit(batcher.predict, gray(number)) for number in range(32)]
        while len(batcher._owner._waiting) < module.WAITING_BATCHES * FULL.images:
            pass
        batcher.close()
        model.may_compute.set()
        refused = [answer.exception() for answer in answers]
    assert {type(error) for error in refused} == {WorkerFault, type(None)}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_the_owner_s_thread_dies_nobody_waits_for_ever(start):
    class Death(BaseException):
        pass

    def deadly(grays, vividness):
        raise Death

    before = set(threading.enumerate())
    batcher = start(deadly, FULL)
    (thread,) = set(threading.enumerate()) - before
    answers = [batcher.submit(gray(number)) for number in range(5)]
    for answer in answers:
        assert isinstance(answer.exception(), WorkerFault)
    with pytest.raises(WorkerFault):
        batcher.predict(gray(1))
    thread.join(LONG)


def test_a_batcher_that_nobody_holds_ends_with_its_thread_and_its_model():
    model = Model()
    before = set(threading.enumerate())
    batcher, forgotten = Batcher(model, FULL), weakref.ref(model)
    (thread,) = set(threading.enumerate()) - before
    del batcher, model
    thread.join(LONG)
    assert not thread.is_alive()
    gc.collect()
    assert forgotten() is None


def test_who_still_waits_when_the_batcher_is_let_go_is_answered(model):
    batcher = Batcher(model, FULL)
    answer = batcher.submit(gray(5))
    del batcher
    assert tone(answer.result()) == 5
