"""The manifest: every photograph once, with an ordinal of its own, cut into jobs of a bearable size."""

from hypothesis import given
from hypothesis import strategies as st

from photochrom.producer.records.pages import Page, jobs_of, write_page
from photochrom.producer.records.sources import entries
from photochrom.producer.records.submission import Submission
from photochrom.worker.jobs.messages import Image, Task
from photochrom.worker.s3 import state_keys
from photochrom.worker.s3.store import Listed
from photochrom.worker.settings import MEBIBYTE, Settings


def submission(**task):
    places = {"source": "s3://archive/in", "destination": "s3://coloured/out"}
    return Submission(name="s", task=Task(**places, model="champion", **task))


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


FOUND = [Listed("in/0.jpg", '"a"', 5), Listed("in/1.jpg")]


def test_a_page_lies_in_s3_as_it_was_given(store):
    page = write_page("s", 5, 100, FOUND, "in/2.txt", False, store)
    data = store.get("photochrom-state", state_keys.page("s", 5)).data
    assert Page.model_validate_json(data) == page
    assert [(image.ordinal, image.key, image.etag, image.size) for image in page.images] == [
        (100, "in/0.jpg", '"a"', 5),
        (101, "in/1.jpg", "", 0),
    ]
    assert (page.number, page.after, page.last) == (5, "in/2.txt", False)


def test_a_page_that_was_written_before_is_read_and_not_replaced(store):
    """A control process was killed between the page and its cursor, and the archive has changed since."""
    first = write_page("s", 0, 0, FOUND, "in/1.jpg", True, store)
    written = store.get("photochrom-state", state_keys.page("s", 0))
    assert write_page("s", 0, 0, [Listed("in/0-new.jpg"), *FOUND], "in/1.jpg", False, store) == first
    assert store.get("photochrom-state", state_keys.page("s", 0)) == written


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
    monkeypatch.setattr("photochrom.producer.records.pages.JOBS_A_PAGE", 1)
    jobs = jobs_of(submission(), images_of(30, 34, 1, 100, 1, 64), 0.0, Settings())
    assert [[image.size // MEBIBYTE for image in job.images] for job in jobs] == [[30, 34], [1], [100], [1], [64]]


def test_no_images_make_no_job():
    assert list(jobs_of(submission(), [], 0.0, Settings())) == []
