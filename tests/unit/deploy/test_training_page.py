"""The page of a demonstrated training holds all there is to tell, and needs nothing beside it."""

import base64
import dataclasses
from html.parser import HTMLParser

import pytest
from PIL import Image

from photochrom.deploy.demo.training_page import Coloured, Moment, TrainingStory, write_training_page
from photochrom.worker.errors import UsageError, WorkerFault

OLD, NEW, THIRD = "a" * 64, "b" * 64, "c" * 64


class Page(HTMLParser):
    """What a browser would make of it: pictures, texts by element, and whatever points elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.pictures, self.elsewhere, self.texts, self.classes, self._open = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "img":
            self.pictures.append(found)
        elif tag not in ("meta", "input"):
            self._open.append(tag)
        self.classes += (found.get("class") or "").split()
        self.elsewhere += [value for name, value in attributes if name in ("href", "src") and value[:5] != "data:"]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((self._open[-1], data.strip()))

    def of(self, tag):
        return [text for found, text in self.texts if found == tag]


@pytest.fixture
def picture(tmp_path):
    """Makes a picture file, every number another."""

    def make(number, kind="PNG"):
        path = tmp_path / f"{number}.{kind.lower()}"
        Image.new("RGB", (20 + number, 10), (number, 100, 200)).save(path, kind)
        return path

    return make


@pytest.fixture
def story(picture):
    return TrainingStory(
        moments=[(0.0, "the schedule fires"), Moment(61.4, "step 1 of 9"), Moment(187.6, "promoted <by the gate>")],
        champion=OLD,
        challenger=NEW,
        curve=picture(1),
        dataset=picture(2),
        judgement=[["", "PSNR, dB", "CIEDE2000"], ["champion", "22.1", "12.9"], ["challenger & co", "23.4", "11.0"]],
        reasons=["met: CIEDE2000 is lower by 1.9 (1.2 to 2.6)", "met: 23.4 dB > 22.1 dB"],
        differences=picture(3),
        photographs=[Coloured("Harbour <1901>", picture(4), picture(5), picture(6, "JPEG"))],
        coloured=1240,
        failed=0,
        by_version={OLD: 840, NEW: 390, THIRD: 10},
    )


@pytest.fixture
def page(tmp_path):
    """Writes the page of a story and reads it as a browser would."""
    return lambda story: Page(write_training_page(tmp_path / "new" / "out", story).read_text(encoding="utf-8"))


def test_the_page_is_one_file_that_needs_nothing_beside_it(story, page, tmp_path):
    written = page(story)
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == ["training.html"]
    assert written.elsewhere == []
    assert "url(" not in (tmp_path / "new" / "out" / "training.html").read_text()


def test_every_picture_stands_in_it_as_it_was_made(story, page):
    shown = page(story).pictures
    paths = [story.curve, story.dataset, story.differences, *story.photographs[0][1:]]
    kinds = [one["src"].partition(";base64,")[0] for one in shown]
    assert kinds == ["data:image/png"] * 5 + ["data:image/jpeg"]
    assert [base64.b64decode(one["src"].partition(";base64,")[2]) for one in shown] == [p.read_bytes() for p in paths]
    assert [(one["width"], one["height"]) for one in shown] == [(str(20 + n), "10") for n in range(1, 7)]
    assert all(one["alt"] for one in shown)


def test_what_happened_is_told_in_its_order_with_its_time(story, page):
    written = page(story)
    assert written.of("time") == ["0:00", "1:01", "3:08"]
    assert written.of("span") == ["the schedule fires", "step 1 of 9", "promoted <by the gate>"]
    assert "3:08" in written.of("dd")


def test_the_judgement_is_a_table_with_its_reasons(story, page):
    written = page(story)
    assert written.of("th") == ["PSNR, dB", "CIEDE2000", "champion", "challenger & co"]
    assert written.of("td") == ["22.1", "12.9", "23.4", "11.0"]
    assert [text for text in written.of("li") if text.startswith("met")] == list(story.reasons)


def test_photographs_stand_side_by_side_before_promoted_and_rolled_back(story, page):
    captions = page(story).of("figcaption")
    assert captions == ["Harbour <1901>", "before", "promoted", "after the rollback"]


def test_images_are_counted_in_all_failed_and_by_version(story, page):
    written = page(story)
    assert written.of("dd") == ["1,240", "0", "840", "390", "10", "3:08"]
    said = [text for text in written.of("dt") if text.startswith("images by")]
    assert said == ["images by the champion at first,", "images by the challenger,", "images by another version,"]
    assert written.of("code")[:3] == [sha256[:12] for sha256 in (OLD, NEW, THIRD)]
    assert "bad" not in written.classes


def test_images_that_failed_are_marked(story, page):
    assert "bad" in page(dataclasses.replace(story, failed=2)).classes


def test_the_same_story_gives_the_same_page(story, tmp_path):
    first, second = (write_training_page(tmp_path / name, story).read_bytes() for name in ("one", "two"))
    assert first == second


def test_a_page_is_written_over_that_of_an_earlier_run(story, page):
    page(story)
    assert "2,000" in page(dataclasses.replace(story, coloured=2000)).of("dd")


def test_where_nothing_was_coloured_to_show_there_is_no_such_section(story, page):
    assert "Before, promoted, rolled back" in page(story).of("h2")
    assert "Before, promoted, rolled back" not in page(dataclasses.replace(story, photographs=[])).of("h2")


@pytest.mark.parametrize(
    ("data", "words"), [(None, "cannot be read"), (b"no picture", "is no picture"), ("GIF", "neither PNG nor JPEG")]
)
def test_what_cannot_be_shown_is_told_in_one_line_and_no_page_is_written(story, picture, tmp_path, data, words):
    curve = tmp_path / "curve.png"
    if isinstance(data, bytes):
        curve.write_bytes(data)
    elif data:
        curve = picture(9, data)
    with pytest.raises(UsageError, match=words) as told:
        write_training_page(tmp_path / "out", dataclasses.replace(story, curve=curve))
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_told_in_one_line(story, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WorkerFault, match="cannot be written"):
        write_training_page(tmp_path / "file", story)
