"""The story of one photograph: what is fetched, joined and stored."""

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from photochrom.worker.coloring.colorize import colorize_file, colour, fetch, store_result
from photochrom.worker.errors import AccessDeniedFault, DiskFullFault, ImageFault, OutOfMemoryFault
from photochrom.worker.jobs.messages import Job
from photochrom.worker.photo.base.limits import Limits
from photochrom.worker.photo.base.options import Options
from photochrom.worker.photo.base.orientation import upright
from photochrom.worker.photo.jpeg import kept
from photochrom.worker.photo.metadata.xmp import statement_of
from photochrom.worker.s3.store import NotFoundError
from photochrom.worker.version import VERSION


def job(key="in/1.png", size=0, etag="", **task):
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


def coloured(data, engine, settings, **options):
    return colorize_file(io.BytesIO(data), engine, settings, Options(**options))


def bytes_of(data, engine, settings, **options):
    return coloured(data, engine, settings, **options).body.read()


# ---- the picture


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_coloured_photograph_has_its_sources_luma_and_the_engines_chroma(photograph, engine, settings, kind):
    data = photograph(1, kind)
    result = coloured(data, engine, settings)
    assert (result.format, result.how) == (kind.lower(), "exact")
    made = result.body.read()
    np.testing.assert_array_equal(*lumas(data, made))
    red, _, blue = np.asarray(Image.open(io.BytesIO(made))).reshape(-1, 3).mean(axis=0)
    assert blue > red + 20


def test_another_format_may_be_asked_for(photograph, engine, settings):
    data = photograph(1, "PNG")
    result = coloured(data, engine, settings, format="tiff")
    assert result.format == "tiff"
    made = result.body.read()
    assert Image.open(io.BytesIO(made)).format == "TIFF"
    np.testing.assert_array_equal(*lumas(data, made))


def test_a_gray_jpeg_is_spliced_and_gives_its_original_back(photograph, engine, settings):
    data = photograph(1, "JPEG")
    result = coloured(data, engine, settings)
    assert (result.format, result.how, result.notes) == ("jpeg", "spliced", ())
    made = result.body.read()
    assert kept.restore(made, Limits()) == data
    red, _, blue = np.asarray(Image.open(io.BytesIO(made))).reshape(-1, 3).mean(axis=0)
    assert blue > red + 20


def test_a_jpeg_in_colour_is_encoded_anew_and_says_so(photograph, engine, settings):
    tinted = np.asarray(Image.open(io.BytesIO(photograph(1, "PNG"))).convert("RGB")) * np.array([1, 0.8, 0.5])
    file = io.BytesIO()
    Image.fromarray(tinted.astype(np.uint8)).save(file, "JPEG")
    result = coloured(file.getvalue(), engine, settings)
    assert (result.format, result.how, result.notes) == ("jpeg", "reencoded", ("reencoded",))


def test_the_same_work_gives_the_same_bytes(photograph, engine, settings):
    for kind in ("JPEG", "PNG", "TIFF"):
        data = photograph(1, kind)
        assert bytes_of(data, engine, settings) == bytes_of(data, engine, settings)


def test_a_result_says_inside_what_it_is(photograph, engine, settings):
    data = photograph(1, "PNG")
    packet = Image.open(io.BytesIO(bytes_of(data, engine, settings))).info["XML:com.adobe.xmp"]
    said = statement_of(packet if isinstance(packet, bytes) else packet.encode())
    assert (said.model, said.model_sha256, said.how) == ("stand-in", "5" * 64, "exact")
    assert said.source_sha256 == hashlib.sha256(data).hexdigest()
    assert said.digital_source_type.endswith("/compositeWithTrainedAlgorithmicMedia")


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
    rgb = np.asarray(Image.open(io.BytesIO(bytes_of(file.getvalue(), engine, settings)))).astype(int)
    assert rgb.shape == (40, 80, 3)
    difference = rgb[..., 2] - rgb[..., 0]
    assert difference[:, :30].min() > 20
    assert abs(difference[:, 50:]).max() <= 4


def test_jpeg_that_is_encoded_anew_has_the_quality_asked_for(photograph, engine, settings):
    data = photograph(1)
    low, high = (len(bytes_of(data, engine, settings, format="jpeg", jpeg_quality=q)) for q in (30, 95))
    assert low < high


def test_spliced_colour_has_the_quality_asked_for(photograph, engine, settings):
    data = photograph(1, "JPEG")
    low, high = (len(bytes_of(data, engine, settings, chroma_quality=quality)) for quality in (30, 95))
    assert low < high


def test_the_limit_of_pixels_is_that_of_the_settings(photograph, engine, settings):
    small = settings.model_copy(update={"max_pixels": 2399})
    assert fault(coloured, photograph(1), engine, small) == "too-many-pixels"
    assert engine.seen == []


def test_being_out_of_memory_is_the_workers_fault_and_not_the_images(photograph, engine, settings):
    def predict(gray, vividness=None):
        raise MemoryError

    engine.predict = predict
    with pytest.raises(OutOfMemoryFault, match="memory"):
        coloured(photograph(1), engine, settings)


def test_a_full_disk_is_the_workers_fault_and_not_the_images(photograph, engine, settings, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("photochrom.worker.coloring.colorize.write", full)
    with pytest.raises(DiskFullFault):
        coloured(photograph(1), engine, settings)


# ---- fetch


def fetched(one, store, settings, engine):
    return fetch(one.images[0], one, engine, store, settings)


def test_fetch_gives_the_bytes(store, settings, engine):
    store.put("archive", "in/1.png", b"bytes")
    assert fetched(job(), store, settings, engine).file.read() == b"bytes"


def test_what_was_listed_and_has_gone_has_vanished(store, settings, engine):
    assert fault(fetched, job(), store, settings, engine) == "vanished"


def test_what_was_listed_as_too_large_is_not_even_asked_for(store, settings, engine, monkeypatch):
    large = job(size=settings.max_bytes + 1)
    monkeypatch.setattr(store, "fetch", lambda *_, **__: pytest.fail("it was asked for"))
    assert fault(fetched, large, store, settings, engine) == "too-large"


def test_what_is_not_what_was_listed_is_quarantined_unless_it_is_to_be_taken(store, settings, engine):
    etag = store.put("archive", "in/1.png", b"bytes")
    assert fault(fetched, job(etag='"other"', size=5), store, settings, engine) == "changed"
    assert fault(fetched, job(etag=etag, size=4), store, settings, engine) == "changed"
    assert fault(fetched, job(size=4), store, settings, engine) == "changed"
    assert fetched(job(etag=etag, size=0), store, settings, engine)
    assert fetched(job(etag=etag, size=5), store, settings, engine)
    assert fetched(job(etag='"other"', size=5, on_change="take"), store, settings, engine)


def test_what_has_grown_too_large_since_is_told_as_well(store, settings, engine):
    store.put("archive", "in/1.png", b"bytes")
    assert fault(fetched, job(size=3), store, settings.model_copy(update={"max_bytes": 4}), engine) == "too-large"


# ---- the whole


def stored(job, store, settings, engine):
    """The image of a job of one: fetched, coloured, and its result where it belongs."""
    coloured = colour(job.images[0], job, fetched(job, store, settings, engine), settings)
    store_result(coloured, job, store)


def test_a_result_says_what_made_it_and_where_it_comes_from(store, settings, engine, photograph, aws):
    one, data = job(epoch=1234, format="png"), photograph(1)
    etag = store.put("archive", "in/1.png", data)
    stored(one, store, settings, engine)
    result = store.get("coloured", "out/1.png")
    assert result.metadata == {
        "photochrom": VERSION,
        "model": "stand-in",
        "model-sha256": "5" * 64,
        "source": hashlib.sha256(b"archive/in/1.png").hexdigest(),
        "source-etag": etag.strip('"'),
        "source-size": str(len(data)),
        "options": result.metadata["options"],
        "luma": "exact",
        "notes": "",
        "order": "000000000001234.000000000",
    }
    assert json.loads(result.metadata["options"])["format"] == "png"
    assert aws.head_object(Bucket="coloured", Key="out/1.png")["ContentType"] == "image/png"
    np.testing.assert_array_equal(*lumas(data, result.data))


def test_an_image_takes_three_requests_to_s3(store, settings, engine, photograph, aws):
    store.put("archive", "in/1.png", photograph(1))
    asked = []
    aws.meta.events.register("before-call.s3", lambda model, **_: asked.append(model.name), unique_id="asked")
    try:
        stored(job(), store, settings, engine)
    finally:
        aws.meta.events.unregister("before-call.s3", unique_id="asked")
    assert asked == ["HeadObject", "GetObject", "PutObject"]


def test_a_result_that_came_while_its_image_was_coloured_is_looked_at_again(store, settings, engine, photograph):
    store.put("archive", "in/1.png", photograph(1))
    one = job()
    source = fetched(one, store, settings, engine)
    store.put("coloured", "out/1.png", b"precious")
    with pytest.raises(ImageFault, match="not from this source"):
        store_result(colour(one.images[0], one, source, settings), one, store)
    assert store.get("coloured", "out/1.png").data == b"precious"


def test_provenance_is_ascii_and_short_whatever_the_key(store, settings, engine, photograph):
    one = job("in/" + "ö" * 500 + ".png")
    source = store.put("archive", one.images[0].key, photograph(1))
    stored(one, store, settings, engine)
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


class DeniedObjects:
    """A store whose objects may not be read; whether its bucket may be listed is another question."""

    def __init__(self, listing):
        self.listing = listing

    def head(self, bucket, key):
        raise NotFoundError(key)

    def fetch(self, bucket, key, most):
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
