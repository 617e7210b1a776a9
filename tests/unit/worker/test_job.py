"""The messages: what is a job, and where the results go."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photochrom.worker.errors import ImageFault, UsageError
from photochrom.worker.formats import SUFFIXES, output_name
from photochrom.worker.jobs.messages import Image, Job, Task, leads_out
from photochrom.worker.s3.store import Location


def task(source="s3://archive/in", destination="s3://coloured/out", **more):
    return Task(source=source, destination=destination, model="champion", **more)


def message(count=1, **changes):
    images = [{"ordinal": n, "key": f"in/{n}.jpg", "etag": '"e"', "size": 10} for n in range(count)]
    more = {"sent": 1.5, "attempt": 0, **changes}
    return {"submission": "2026-first", "task": task().model_dump(mode="json"), "images": images, **more}


def refused(message):
    with pytest.raises(UsageError) as told:
        Job.parse(message)
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.mark.parametrize("count", [1, 32])
def test_a_job_is_1_to_32_images(count):
    assert len(Job.parse(message(count)).images) == count


@pytest.mark.parametrize("count", [0, 33])
def test_a_job_of_none_or_too_many_images_is_refused(count):
    assert "images" in refused(message(count))


def test_a_job_goes_through_json_unchanged():
    job = Job.parse(message(3))
    assert Job.parse(json.loads(json.dumps(job.message()))) == job
    assert job.message() == message(3)


def test_a_job_of_a_version_that_knew_no_stale_work_is_still_a_job():
    old = message(3)
    for field in ("stale", "promotion"):
        del old["task"][field]
    assert Job.parse(old) == Job.parse(message(3))
    assert (Job.parse(old).task.stale, Job.parse(old).task.promotion) == (False, 0)


def test_a_job_with_some_of_its_images_is_the_same_job_otherwise():
    job = Job.parse(message(3))
    fewer = job.only([job.images[2]], sent=2.5, attempt=3)
    assert fewer.images == (job.images[2],)
    assert (fewer.submission, fewer.task) == (job.submission, job.task)
    assert (fewer.sent, fewer.attempt) == (2.5, 3)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "job",
        {},
        message(surplus=1),
        message(task={**task().model_dump(), "surplus": 1}),
        message(images=[{**message()["images"][0], "surplus": 1}]),
        message(images=[{**message()["images"][0], "ordinal": -1}]),
        message(images=[{**message()["images"][0], "size": -1}]),
        message(images=[{**message()["images"][0], "key": ""}]),
        message(submission="../elsewhere"),
        message(attempt=-1),
        message(task={**task().model_dump(), "priority": 5}),
        message(task={**task().model_dump(), "on_change": "ignore"}),
        message(submission=""),
        message(submission="a" * 101),
        message(task={**task().model_dump(), "format": "gif"}),
        message(task={**task().model_dump(), "source": "/home/archive"}),
        message(task={**task().model_dump(), "destination": "s3://archive/in/colour"}),
    ],
)
def test_what_is_no_job_is_refused_in_one_line(wrong):
    refused(wrong)


@pytest.mark.parametrize("key", ["secret/1.jpg", "in-secret/1.jpg", "in", "1.jpg"])
def test_a_job_with_a_key_outside_its_source_is_refused(key):
    assert "not below" in refused(message(images=[{**message()["images"][0], "key": key}]))


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("s3://a/in", "s3://a/in"),
        ("s3://a/in", "s3://a/in/"),
        ("s3://a/in/", "s3://a/in/colour"),
        ("s3://a/in/deep", "s3://a/in"),
        ("s3://a/in", "s3://a"),
        ("s3://a", "s3://a/colour"),
    ],
)
def test_neither_source_nor_destination_may_lie_inside_the_other(source, destination):
    with pytest.raises(ValueError, match="lie inside one another"):
        task(source, destination)


@pytest.mark.parametrize(
    ("source", "destination"),
    [("s3://a/in", "s3://b/in"), ("s3://a/in", "s3://a/in-colour"), ("s3://a/in/x", "s3://a/in/y")],
)
def test_neighbours_may_be_source_and_destination(source, destination):
    assert task(source, destination).source == source


@pytest.mark.parametrize("source", ["s3://archive/in", "s3://archive/in/"])
@pytest.mark.parametrize("destination", ["s3://coloured/out", "s3://coloured/out/"])
def test_a_result_lies_below_the_destination_as_its_source_below_the_source(source, destination):
    assert task(source, destination).output("in/a/1.jpg") == ("coloured", "out/a/1.jpg")


def test_a_whole_bucket_may_be_source_and_another_one_destination():
    assert task("s3://archive", "s3://coloured").output("a/1.jpg") == ("coloured", "a/1.jpg")


@pytest.mark.parametrize("key", ["other/1.jpg", "in-colour/1.jpg", "in", "i"])
def test_a_key_outside_the_source_has_no_result(key):
    with pytest.raises(ImageFault, match="not below") as told:
        task().output(key)
    assert told.value.reason == "outside-source"


@pytest.mark.parametrize(
    ("name", "format", "result"),
    [
        ("1.JPG", None, "1.JPG"),
        ("1.JPG", "jpeg", "1.JPG"),
        ("1.jpeg", "jpeg", "1.jpeg"),
        ("1.TIFF", "tiff", "1.TIFF"),
        ("1.jpg", "png", "1.png"),
        ("1.PNG", "tiff", "1.tif"),
        ("1.tif", "jpeg", "1.jpg"),
        ("a.b/1.c.tif", "jpeg", "a.b/1.c.jpg"),
        ("a//1.tif", "jpeg", "a//1.jpg"),
        ("./1.tif", "jpeg", "./1.jpg"),
    ],
)
def test_only_another_format_changes_the_suffix(name, format, result):
    assert output_name(name, format) == result


names = st.text("ab./-_ é", min_size=1, max_size=12).map(lambda stem: stem + "x")
files = st.builds(str.__add__, names, st.sampled_from([*SUFFIXES, ".JPG", ".Png"]))
files = files.filter(lambda name: not leads_out(name))
formats = st.sampled_from([None, "jpeg", "png", "tiff"])


@given(name=files, format=formats)
def test_every_result_lies_below_the_destination_and_has_its_formats_suffix(name, format):
    place = task(format=format).output("in/" + name)
    assert place.bucket == "coloured"
    assert place.prefix.startswith("out/")
    suffix = "." + place.prefix.rpartition(".")[2].lower()
    assert SUFFIXES[suffix] == (format or SUFFIXES["." + name.rpartition(".")[2].lower()])


@given(one=names, other=names, suffix=st.sampled_from(sorted(SUFFIXES)), format=formats)
def test_two_sources_of_one_suffix_never_have_the_same_result(one, other, suffix, format):
    results = {output_name(name + suffix, format) for name in (one, other)}
    assert len(results) == len({one, other})


def test_a_job_is_not_believed_where_it_can_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Image(ordinal=0, key="a", etag="e", size=1).key = "b"


def test_the_source_is_a_folder():
    assert Location.parse(task().source).folder() == ("archive", "in/")
