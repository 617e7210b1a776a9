"""The story of one photograph: what is fetched, joined and stored, and what is never written over."""

import dataclasses
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from worker.colorize import Coloured, colorize, colorize_bytes, fetch, put_result
from worker.errors import AccessDeniedFault, ImageFault, OutOfMemoryFault, RetryableError
from worker.job import Job
from worker.photo.orientation import upright
from worker.provenance import Provenance
from worker.store import ConflictError, Location, NotFoundError
from worker.version import VERSION

PLACE = Location("coloured", "out/1.png")
OURS = Provenance("ours", "1", 10, "stand-in", "5" * 64, "{}", "000000000000002.000000000")
EARLIER = dataclasses.replace(OURS, model_sha256="4" * 64, order="000000000000001.000000000")
LATER = dataclasses.replace(OURS, model_sha256="6" * 64, order="000000000000003.000000000")
THEIRS = dataclasses.replace(OURS, source="theirs").metadata()


def job(key="in/1.png", size=10, etag="", **task):
    return Job.parse(
        {
            "submission": "s",
            "task": {"source": "s3://archive/in", "destination": "s3://coloured/out", "model": "champion", **task},
            "images": [{"ordinal": 0, "key": key, "etag": etag, "size": size}],
        }
    )


def fault(call, *arguments, **options):
    with pytest.raises(ImageFault) as told:
        call(*arguments, **options)
    return told.value.reason


def lumas(*files):
    return [np.asarray(Image.open(io.BytesIO(data)).convert("L")) for data in files]


# ---- the picture


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_coloured_photograph_has_its_sources_luma_and_the_engines_chroma(photograph, engine, settings, kind):
    data = photograph(1, kind)
    result = colorize_bytes(data, engine, settings)
    assert result.format == kind.lower()
    np.testing.assert_array_equal(*lumas(data, result.data))
    red, _, blue = np.asarray(Image.open(io.BytesIO(result.data))).reshape(-1, 3).mean(axis=0)
    assert blue > red + 20


def test_another_format_may_be_asked_for(photograph, engine, settings):
    data = photograph(1, "PNG")
    result = colorize_bytes(data, engine, settings, "tiff")
    assert result.format == "tiff"
    assert Image.open(io.BytesIO(result.data)).format == "TIFF"
    np.testing.assert_array_equal(*lumas(data, result.data))


def test_the_engine_sees_a_small_upright_copy_and_its_chroma_is_turned_back(engine, settings):
    """Stored on its side: the sky is at the left of the file and above in the picture."""
    pixels = np.full((40, 80), 60, np.uint8)
    pixels[:, :40] = 200
    exif = Image.Exif()
    exif[274] = 6
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", exif=exif)

    def blue_sky(gray, vividness=None):
        assert gray.shape == (8, 8)
        assert gray[0].mean() > gray[-1].mean()
        chroma = np.zeros((2, 8, 8), np.float32)
        chroma[0, :4] = 0.1
        return chroma

    engine.predict = blue_sky
    assert upright(pixels, 6)[0, 0] == 200
    rgb = np.asarray(Image.open(io.BytesIO(colorize_bytes(file.getvalue(), engine, settings).data))).astype(int)
    assert rgb.shape == (40, 80, 3)
    difference = rgb[..., 2] - rgb[..., 0]
    assert difference[:, :30].min() > 20
    assert abs(difference[:, 50:]).max() <= 4


def test_jpeg_is_written_in_the_quality_of_the_settings(photograph, engine, settings):
    low, high = (
        len(colorize_bytes(photograph(1), engine, settings.model_copy(update={"jpeg_quality": quality}), "jpeg").data)
        for quality in (30, 95)
    )
    assert low < high / 2


def test_the_limit_of_pixels_is_that_of_the_settings(photograph, engine, settings):
    small = settings.model_copy(update={"max_pixels": 2399})
    assert fault(colorize_bytes, photograph(1), engine, small) == "too-many-pixels"
    assert engine.seen == []


def test_being_out_of_memory_is_the_workers_fault_and_not_the_images(photograph, engine, settings):
    def predict(gray, vividness=None):
        raise MemoryError

    engine.predict = predict
    with pytest.raises(OutOfMemoryFault, match="memory"):
        colorize_bytes(photograph(1), engine, settings)


# ---- fetch


def fetched(one, store, settings, engine):
    return fetch(one.images[0], one, engine, store, settings)


def test_fetch_gives_the_bytes(store, settings, engine):
    store.put("archive", "in/1.png", b"bytes")
    assert fetched(job(), store, settings, engine).stored.data == b"bytes"


def test_what_was_listed_and_has_gone_has_vanished(store, settings, engine):
    assert fault(fetched, job(), store, settings, engine) == "vanished"


def test_what_was_listed_as_too_large_is_not_even_asked_for(store, settings, engine, monkeypatch):
    large = job(size=settings.max_bytes + 1)
    monkeypatch.setattr(store, "get", lambda *_, **__: pytest.fail("it was asked for"))
    assert fault(fetched, large, store, settings, engine) == "too-large"


def test_what_has_grown_too_large_since_is_told_as_well(store, settings, engine):
    store.put("archive", "in/1.png", b"bytes")
    assert fault(fetched, job(size=3), store, settings.model_copy(update={"max_bytes": 4}), engine) == "too-large"


# ---- the whole


def test_a_result_says_what_made_it_and_where_it_comes_from(store, settings, engine, photograph, aws):
    one, data = job(epoch=1234, format="png"), photograph(1)
    etag = store.put("archive", "in/1.png", data)
    colorize(one.images[0], one, fetched(one, store, settings, engine), engine, store, settings)
    result = store.get("coloured", "out/1.png")
    assert result.metadata == {
        "photochrom": VERSION,
        "model": "stand-in",
        "model-sha256": "5" * 64,
        "source": hashlib.sha256(b"archive/in/1.png").hexdigest(),
        "source-etag": etag.strip('"'),
        "source-size": str(len(data)),
        "options": '{"format":"png","jpeg_quality":95}',
        "order": "000000000001234.000000000",
    }
    assert aws.head_object(Bucket="coloured", Key="out/1.png")["ContentType"] == "image/png"
    np.testing.assert_array_equal(*lumas(data, result.data))


def test_provenance_is_ascii_and_short_whatever_the_key(store, settings, engine, photograph):
    one = job("in/" + "ö" * 500 + ".png")
    source = store.put("archive", one.images[0].key, photograph(1))
    colorize(one.images[0], one, fetched(one, store, settings, engine), engine, store, settings)
    metadata = store.head(*one.task.output(one.images[0].key)).metadata
    assert metadata["source-etag"] == source.strip('"')
    text = "".join([*metadata, *metadata.values()])
    assert text.isascii()
    assert len(text) < 2000


def test_a_result_whose_key_s3_would_not_take_is_this_images_fault(store, settings, engine, photograph):
    one = job("in/" + "x" * 1000 + ".png", destination="s3://coloured/a-longer-name-than-in-the-source")
    store.put("archive", one.images[0].key, photograph(1))
    assert fault(fetched, one, store, settings, engine) == "name-too-long"
    assert engine.seen == []


# ---- put_result


def put(store, data=b"new", provenance=OURS):
    put_result(store, PLACE, Coloured(data, "png"), provenance)


def there(store):
    return store.get(*PLACE).data


def test_an_earlier_result_of_the_same_source_is_replaced(store):
    put(store, b"old", EARLIER)
    put(store, b"new")
    assert there(store) == b"new"


def test_the_same_result_and_a_later_one_are_left_as_they_are(store):
    put(store, b"old")
    put(store, b"new")
    assert there(store) == b"old"
    put(store, b"later", LATER)
    put(store, b"new")
    assert there(store) == b"later"


@pytest.mark.parametrize("metadata", [THEIRS, {}, None])
def test_what_did_not_come_from_the_same_source_is_never_replaced(store, metadata):
    store.put(*PLACE, b"precious", metadata=metadata)
    assert fault(put, store) == "destination-taken"
    assert there(store) == b"precious"


def after_the_look(store, monkeypatch, action, times=1):
    """Somebody else does something between our look at the place and our write."""
    look, left = store.head, [times]

    def head(bucket, key):
        try:
            return look(bucket, key)
        finally:
            if left[0]:
                left[0] -= 1
                action()

    monkeypatch.setattr(store, "head", head)


def test_somebody_elses_object_that_came_since_we_looked_is_not_replaced(store, monkeypatch):
    after_the_look(store, monkeypatch, lambda: store.put(*PLACE, b"precious", metadata=THEIRS))
    assert fault(put, store) == "destination-taken"
    assert there(store) == b"precious"


def test_somebody_elses_object_that_took_the_place_of_ours_is_not_replaced(store, monkeypatch):
    put(store, b"old", EARLIER)
    after_the_look(store, monkeypatch, lambda: store.put(*PLACE, b"precious", metadata=THEIRS))
    assert fault(put, store) == "destination-taken"
    assert there(store) == b"precious"


@pytest.mark.parametrize(("work", "left"), [(EARLIER, b"new"), (OURS, b"faster"), (LATER, b"faster")])
def test_whoever_was_faster_is_replaced_only_by_later_work(store, monkeypatch, work, left):
    after_the_look(store, monkeypatch, lambda: store.put(*PLACE, b"faster", metadata=work.metadata()))
    put(store)
    assert there(store) == left


def test_a_result_that_was_taken_away_since_we_looked_is_written_again(store, monkeypatch, aws):
    put(store, b"old", EARLIER)
    after_the_look(store, monkeypatch, lambda: aws.delete_object(Bucket=PLACE.bucket, Key=PLACE.prefix))
    put(store)
    assert there(store) == b"new"


@pytest.mark.parametrize("error", [ConflictError, NotFoundError])
def test_a_place_that_is_written_all_the_time_is_tried_again_later(store, monkeypatch, error):
    tries = []

    def conflict(*_, **__):
        tries.append(1)
        raise error("somebody was faster")

    monkeypatch.setattr(store, "put", conflict)
    with pytest.raises(RetryableError):
        put(store)
    assert 1 < len(tries) < 20


class DeniedObjects:
    """A store whose objects may not be read; whether its bucket may be listed is another question."""

    def __init__(self, listing):
        self.listing = listing

    def head(self, bucket, key):
        raise NotFoundError(key)

    def get(self, bucket, key, most=None):
        raise AccessDeniedFault("S3 denies access")

    def list(self, location):
        if not self.listing:
            raise AccessDeniedFault("S3 denies access")
        return iter(())


def test_one_object_that_may_not_be_read_is_the_images_fault(settings, engine):
    this = job()
    assert fault(fetch, this.images[0], this, engine, DeniedObjects(listing=True), settings) == "denied"


def test_a_bucket_that_may_not_be_read_is_the_workers_fault(settings, engine):
    this = job()
    with pytest.raises(AccessDeniedFault):
        fetch(this.images[0], this, engine, DeniedObjects(listing=False), settings)
