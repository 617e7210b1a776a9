"""The buckets that compose.yaml's service `buckets` makes."""

import pytest

from photochrom.deploy import buckets
from photochrom.worker.settings import Settings


@pytest.fixture
def chosen(aws, monkeypatch):
    """Settings of an archive in two buckets."""
    found = Settings(read_from="s3://archive/scans,s3://older", write_to="s3://coloured/,s3://older/coloured")
    monkeypatch.setattr(buckets, "settings", lambda: found)
    return found


def listed(aws):
    return {bucket["Name"] for bucket in aws.list_buckets()["Buckets"]}


def test_all_that_the_settings_name_are_made(chosen, aws, capsys):
    for bucket in listed(aws):
        aws.delete_bucket(Bucket=bucket)
    assert buckets.main() == 0
    assert listed(aws) == {"archive", "older", "coloured", "photochrom-state"}
    assert capsys.readouterr().out.split() == ["archive", "coloured", "older", "photochrom-state"]


def test_what_is_there_stays(chosen, aws):
    aws.put_object(Bucket="archive", Key="1.jpg", Body=b"a photograph")
    assert buckets.main() == 0
    assert aws.get_object(Bucket="archive", Key="1.jpg")["Body"].read() == b"a photograph"


def test_a_refusal_is_told(no_settings, monkeypatch, capsys):
    monkeypatch.setattr(buckets, "settings", lambda: Settings(s3_endpoint="http://127.0.0.1:9", s3_attempts=1))
    assert buckets.main() == 1
    assert "photochrom-state" in capsys.readouterr().err
