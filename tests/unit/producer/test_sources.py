"""Where keys come from: every source in a fixed order, and every cursor a place to go on from."""

import gzip
import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from photochrom.producer.records.filters import Filters
from photochrom.producer.records.sources import entries
from photochrom.producer.records.submission import Submission
from photochrom.worker.errors import UsageError
from photochrom.worker.jobs.messages import Task
from photochrom.worker.s3.store import Listed, Location
from tests.examples import examples

TASK = Task(source="s3://archive/in", destination="s3://coloured/out", model="champion")
TASK_FOLDER = Location("archive", "in/")


def asked(manifest=None, **filters):
    place = f"s3://archive/{manifest}" if manifest else None
    return Submission(name="s", task=TASK, manifest=place, filters=Filters(**filters))


def listed(submission, store, after=""):
    return [entry.listed for entry in entries(submission, store, after)]


def test_a_prefix_gives_its_photographs_with_what_the_listing_knows(store):
    for key in ("in/b.jpg", "in/a/1.TIF", "in-colour/x.jpg", "in/notes.txt"):
        store.put("archive", key, b"123")
    assert listed(asked(), store) == [
        Listed(key, store.head("archive", key).etag, 3) for key in ("in/a/1.TIF", "in/b.jpg")
    ]


MANIFESTS = {
    "keys.txt": (
        b"in/1.jpg\r\n\nin/a b,c.png\nin/\xc3\xa9.tif",
        [("in/1.jpg", "", None), ("in/a b,c.png", "", None), ("in/é.tif", "", None)],
    ),
    "keys.csv": (
        b'etag,key,size,colour\n"""e1""",in/1.jpg,12,red\n,"in/a ""b"",c.png",,\ne3,in/3.tif,0,\n',
        [("in/1.jpg", '"e1"', 12), ('in/a "b",c.png', "", None), ("in/3.tif", '"e3"', 0)],
    ),
    "keys.jsonl": (
        b'{"key": "in/1.jpg", "size": 12, "etag": "\\"e1\\""}\n\n{"key": "in/\\u00e9.tif", "more": 1}\n',
        [("in/1.jpg", '"e1"', 12), ("in/é.tif", "", None)],
    ),
    "keys.ndjson": (b'{"key": "in/1.jpg", "size": "7"}', [("in/1.jpg", "", 7)]),
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_gives_its_keys_in_its_own_order(store, name):
    data, found = MANIFESTS[name]
    store.put("archive", name, data)
    assert listed(asked(name), store) == [Listed(*one) for one in found]


MALFORMED = {
    "no JSON": ("keys.jsonl", b'{"key": "in/1.jpg"}\n\n{"key"\n', "line 3"),
    "JSON that is no object": ("keys.jsonl", b'{"key": "in/1.jpg"}\n["in/2.jpg"]\n', "line 2"),
    "a line without a key": ("keys.jsonl", b'{"key": "in/1.jpg"}\n{"size": 5}\n', "line 2"),
    "a key that is none": ("keys.jsonl", b'{"key": null}\n', "line 1"),
    "a key that is too long": ("keys.txt", b"in/1.jpg\nin/" + b"x" * 1022 + b"\n", "line 2"),
    "a size that is none": ("keys.csv", b"key,size\nin/1.jpg,5\nin/2.jpg,much\n", "line 3"),
    "a size below nothing": ("keys.csv", b"key,size\nin/1.jpg,-5\n", "line 2"),
    "a size that is a list": ("keys.jsonl", b'{"key": "in/1.jpg", "size": [1]}\n', "line 1"),
    "a header without key": ("keys.csv", b"name,size\nin/1.jpg,5\n", "line 2"),
    "a short line": ("keys.csv", b"size,key\n5,in/1.jpg\n7\n", "line 3"),
    "no UTF-8": ("keys.txt", b"in/\xff\xfe.jpg\n", "line 1"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_line_is_told_with_its_file_and_number(store, case):
    name, data, line = MALFORMED[case]
    store.put("archive", name, data)
    with pytest.raises(UsageError) as told:
        listed(asked(name), store)
    assert f"s3://archive/{name}: {line} " in str(told.value)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["none.txt", "none.csv", "none.json"])
def test_a_manifest_that_is_not_there_is_told(store, name):
    with pytest.raises(UsageError, match=f"no manifest s3://archive/{name}"):
        listed(asked(name), store)


def test_a_manifest_of_another_kind_is_told(store):
    with pytest.raises(UsageError, match="ends in"):
        listed(asked("keys.xls"), store)


# ---- S3 Inventory

SCHEMA = "Bucket, Key, Size, ETag, IsLatest, IsDeleteMarker"


def inventory(store, *files, form="CSV"):
    """An inventory of the archive; each file is a list of lines."""
    for number, lines in enumerate(files):
        store.put("coloured", f"inventory/{number}.csv.gz", gzip.compress("".join(lines).encode()))
    keys = [{"key": f"inventory/{number}.csv.gz"} for number in range(len(files))]
    manifest = {"fileFormat": form, "fileSchema": SCHEMA, "destinationBucket": "arn:aws:s3:::coloured", "files": keys}
    store.put("archive", "manifest.json", json.dumps(manifest).encode())
    return asked("manifest.json")


def line(key, size=5, etag="e", latest="true", deleted="false"):
    return f'"archive","{key}","{size}","{etag}","{latest}","{deleted}"\n'


def test_an_inventory_gives_the_latest_version_of_every_key_below_the_source(store):
    first = [line("in/a%20b%2Bc.jpg"), line("in/old.jpg", latest="false"), line("in/gone.jpg", deleted="true")]
    second = [line("in/%C3%A9.tif", 77, "e-2"), line("elsewhere/x.jpg"), line("in-colour/x.jpg")]
    assert listed(inventory(store, first, second), store) == [
        Listed("in/a b+c.jpg", '"e"', 5),
        Listed("in/é.tif", '"e-2"', 77),
    ]


def test_an_inventory_in_another_format_is_told(store):
    with pytest.raises(UsageError, match="Parquet"):
        listed(inventory(store, [line("in/1.jpg")], form="Parquet"), store)


@pytest.mark.parametrize("data", [b"{}", b"[]", b"no JSON", b'{"fileSchema": 5}'])
def test_what_is_no_inventory_is_told(store, data):
    store.put("archive", "manifest.json", data)
    with pytest.raises(UsageError, match="no manifest of an S3 Inventory"):
        listed(asked("manifest.json"), store)


@pytest.mark.parametrize(
    "data",
    [b"no gzip", gzip.compress(b'"archive","in/1.jpg"\n'), gzip.compress(b"x" * 99)[:20]],
    ids=["no gzip", "too few columns", "cut off"],  # the bytes have the time in them
)
def test_a_broken_file_of_an_inventory_is_told_by_its_name(store, data):
    submission = inventory(store, [line("in/1.jpg")])
    store.put("coloured", "inventory/0.csv.gz", data)
    with pytest.raises(UsageError, match=r"s3://coloured/inventory/0\.csv\.gz: line 1 "):
        listed(submission, store)


# ---- cursors


names = st.lists(st.text("ab1 é%", min_size=1, max_size=5), min_size=1, max_size=8)
kinds = st.sampled_from(["prefix", "keys.txt", "keys.csv", "keys.jsonl", "inventory"])


@given(names=names, kind=kinds, suffix=st.sampled_from([".jpg", ".jpg,", ".txt"]))
@examples(30, HealthCheck.function_scoped_fixture)
def test_reading_from_any_cursor_gives_the_rest(store, aws, names, kind, suffix):
    keys = [f"in/{name}{'.jpg' if number % 3 else suffix}" for number, name in enumerate(names)]
    submission = asked(None if kind == "prefix" else kind)
    if kind == "prefix":
        for item in store.list(TASK_FOLDER):
            aws.delete_object(Bucket="archive", Key=item.key)
        for key in keys:
            store.put("archive", key, b"12")
    elif kind == "inventory":
        half = len(keys) // 2
        lines = [line(quote(key)) for key in keys]
        submission = inventory(store, lines[:half], lines[half:])
    else:
        rows = {
            "keys.txt": [key + "\n" for key in keys],
            "keys.csv": ["key\n", *(f'"{key}"\n' for key in keys)],
            "keys.jsonl": [json.dumps({"key": key}) + "\n" for key in keys],
        }
        store.put("archive", kind, "".join(rows[kind]).encode())
    everything = list(entries(submission, store))
    assert sorted(entry.listed.key for entry in everything) == sorted(
        key for key in (set(keys) if kind == "prefix" else keys) if key.endswith(".jpg")
    )
    for place, entry in enumerate(everything):
        assert list(entries(submission, store, entry.cursor)) == everything[place + 1 :]


# ---- filters


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["in/1.jpg", "in/2.JPEG", "in/deep/3.tif"]),
        ({"suffixes": [".tif"]}, ["in/deep/3.tif"]),
        ({"suffixes": ["JPEG", ".TXT"]}, ["in/2.JPEG", "in/4.txt"]),
        ({"glob": "in/deep/*"}, ["in/deep/3.tif"]),
        ({"glob": "*.jpg"}, ["in/1.jpg"]),
        ({"glob": "IN/*"}, []),
        ({"smallest": 2}, ["in/2.JPEG", "in/deep/3.tif"]),
        ({"largest": 2}, ["in/1.jpg", "in/2.JPEG"]),
        ({"smallest": 2, "largest": 2}, ["in/2.JPEG"]),
        ({"smallest": 2, "glob": "*.jpg"}, []),
    ],
)
def test_filters_have_all_to_be_met(store, filters, found):
    for key, size in {"in/1.jpg": 1, "in/2.JPEG": 2, "in/deep/3.tif": 3, "in/4.txt": 4}.items():
        store.put("archive", key, bytes(size))
    assert [one.key for one in listed(asked(**filters), store)] == found


def test_a_size_that_is_not_known_meets_every_size(store):
    store.put("archive", "keys.csv", b"key,size\nin/1.jpg,\nin/2.jpg,5\n")
    assert [one.key for one in listed(asked("keys.csv", smallest=10), store)] == ["in/1.jpg"]
