"""A worker reads and writes only what whoever runs it has listed."""

import pytest

from photochrom.worker.errors import ImageFault
from photochrom.worker.jobs.allowed import check_allowed
from photochrom.worker.jobs.messages import Task
from photochrom.worker.settings import Settings

pytestmark = pytest.mark.usefixtures("no_settings")


def check(source, destination, read_from="s3://archive/in", write_to="s3://coloured/out"):
    task = Task(source=source, destination=destination, model="champion")
    check_allowed(task, Settings(read_from=read_from, write_to=write_to))


@pytest.mark.parametrize("source", ["s3://archive/in", "s3://archive/in/", "s3://archive/in/deeper"])
@pytest.mark.parametrize("destination", ["s3://coloured/out", "s3://coloured/out/deeper/"])
def test_what_lies_in_the_listed_folders_is_allowed(source, destination):
    check(source, destination)


@pytest.mark.parametrize("source", ["s3://archive", "s3://archive/in-secret", "s3://archive/other", "s3://b/in"])
def test_a_source_outside_is_refused_by_the_settings_name(source):
    with pytest.raises(ImageFault, match="PHOTOCHROM_READ_FROM") as told:
        check(source, "s3://coloured/out")
    assert told.value.reason == "not-allowed"


@pytest.mark.parametrize("destination", ["s3://coloured", "s3://coloured/out2", "s3://other/out", "s3://archive/in2"])
def test_a_destination_outside_is_refused_by_the_settings_name(destination):
    with pytest.raises(ImageFault, match="PHOTOCHROM_WRITE_TO") as told:
        check("s3://archive/in", destination)
    assert told.value.reason == "not-allowed"


def test_any_of_several_listed_places_will_do():
    check("s3://b/x", "s3://coloured/out", read_from="s3://archive/in,s3://b")


def test_nothing_listed_allows_nothing():
    with pytest.raises(ImageFault, match="allows nothing"):
        check("s3://archive/in", "s3://coloured/out", read_from="")
    with pytest.raises(ImageFault, match="allows nothing"):
        check("s3://archive/in", "s3://coloured/out", write_to="")
