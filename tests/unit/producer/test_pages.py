"""The manifest: every photograph once, with an ordinal of its own, cut into jobs of a bearable size."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import producer.pages
from producer.pages import Page, jobs_of, next_page
from producer.sources import entries
from producer.submission import Submission
from worker import paths
from worker.job import Image, Task
from worker.settings import MEBIBYTE, Settings


def submission(**task):
    places = {"source": "s3://archive/in", "destination": "s3://coloured/out"}
    return Submission(name="s", task=Task(**places, model="champion", **task))


@pytest.fixture
def small(settings):
    producer.pages._listings.clear()
    return settings.model_copy(update={"page_images": 3})


def test_only_names_of_photographs_in_the_folder_are_listed(store):
    names = ["1.jpg", "2.JPEG", "3.Png", "4.tif", "5.TIFF", "deep/er/6.jpg"]
    others = ["readme.txt", "7.gif", "8.jpg.bak", "jpg", ".jpg", "9", "10.psd", "11.jpg.txt"]
    for name in names + others:
        store.put("archive", "in/" + name, b"12")
    store.put("archive", "in-colour/12.jpg", b"12")
    store.put("archive", "13.jpg", b"12")
    found = [entry.listed for entry in entries(submission(), store)]
    assert sorted(item.key for item in found) == sorted("in/" + name for name in names)
    assert {item.size for item in found} == {2}


def test_ordinals_are_consecutive_across_pages_and_no_image_is_left_out(store, fill, small):
    fill(7)
    pages, after, total = [], "", 0
    while not pages or not pages[-1].last:
        pages.append(next_page(submission(), len(pages), total, after, store, small))
        after, total = pages[-1].after, total + len(pages[-1].images)
    images = [image for page in pages for image in page.images]
    assert [image.ordinal for image in images] == list(range(7))
    assert [image.key for image in images] == [f"in/{number:03d}.jpg" for number in range(7)]
    assert [len(page.images) for page in pages] == [3, 3, 1]
    assert [page.number for page in pages] == [0, 1, 2]
    assert images[0].etag == store.head("archive", "in/000.jpg").etag


@pytest.mark.parametrize(("count", "last"), [(0, True), (2, True), (3, False)])
def test_a_page_that_is_not_full_is_the_last(store, fill, small, count, last):
    fill(count)
    page = next_page(submission(), 0, 0, "", store, small)
    assert (len(page.images), page.last) == (count, last)


def test_a_page_lies_in_s3_as_it_was_given(store, fill, small):
    fill(2)
    page = next_page(submission(), 5, 100, "", store, small)
    data = store.get("photochrom-state", paths.page("s", 5)).data
    assert Page.model_validate_json(data) == page
    assert json.loads(data)["images"][0]["ordinal"] == 100


def test_a_page_that_was_written_before_is_read_and_not_replaced(store, fill, small):
    """A control process was killed between the page and its cursor, and the archive has changed since."""
    fill(3)
    first = next_page(submission(), 0, 0, "", store, small)
    written = store.get("photochrom-state", paths.page("s", 0))
    store.put("archive", "in/0000-new.jpg", b"12")
    assert next_page(submission(), 0, 0, "", store, small) == first
    assert store.get("photochrom-state", paths.page("s", 0)) == written


sizes = st.lists(st.integers(0, 40 * MEBIBYTE) | st.integers(0, 3 * MEBIBYTE) | st.just(100 * MEBIBYTE), max_size=150)


@given(sizes=sizes, most=st.sampled_from([1, 5, 32]))
def test_every_image_is_in_exactly_one_job_in_order_and_no_job_is_too_large(sizes, most):
    images = [Image(ordinal=n, key=f"in/{n}.jpg", etag="e", size=size) for n, size in enumerate(sizes)]
    settings = Settings(job_images=most)
    jobs = list(jobs_of(submission(), images, 1.5, settings))
    assert [image for job in jobs for image in job.images] == images
    for job in jobs:
        assert 1 <= len(job.images) <= most
        assert len(job.images) == 1 or sum(image.size for image in job.images) <= 64 * MEBIBYTE
        assert (job.submission, job.task, job.sent) == ("s", submission().task, 1.5)


def images_of(*sizes):
    return [Image(ordinal=n, key=f"in/{n}.jpg", etag="e", size=size * MEBIBYTE) for n, size in enumerate(sizes)]


def test_a_full_page_is_cut_into_as_few_jobs_as_their_limits_allow():
    counts = [len(job.images) for job in jobs_of(submission(), images_of(*[0] * 3000), 0.0, Settings())]
    assert counts[0] == 32
    assert set(counts[:-1]) == {32}


def test_jobs_stop_at_64_mebibytes_and_a_larger_image_goes_alone(monkeypatch):
    monkeypatch.setattr("producer.pages.JOBS_A_PAGE", 1)
    jobs = jobs_of(submission(), images_of(30, 34, 1, 100, 1, 64), 0.0, Settings())
    assert [[image.size // MEBIBYTE for image in job.images] for job in jobs] == [[30, 34], [1], [100], [1], [64]]


def test_no_images_make_no_job():
    assert list(jobs_of(submission(), [], 0.0, Settings())) == []
