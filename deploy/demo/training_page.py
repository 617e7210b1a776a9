"""The page of a demonstrated training: one HTML file with its pictures inside, for any browser, from the disk."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from photochrom.worker.errors import UsageError, WorkerFault

NAME = "training.html"
IN_BROWSERS = {"PNG": "image/png", "JPEG": "image/jpeg"}
VERSION_DIGITS = 12

PHOTOGRAPH = Template("""
<figure class="photograph"><figcaption>$title</figcaption><div class="three">$pictures</div></figure>""")

COLOURED = Template("""
<figure>$picture<figcaption>$when</figcaption></figure>""")

MOMENT = Template("""
<li><time>$clock</time><span>$text</span></li>""")

COUNT = Template("""
<div><dt>$what</dt><dd>$count</dd></div>""")

SECTION = Template("""
<section><h2>$title</h2><p class="lead">$lead</p>$content</section>""")


class Moment(NamedTuple):
    """Something that happened, so many seconds after the start."""

    seconds: float
    text: str


class Coloured(NamedTuple):
    """One photograph, by the champion before, by the promoted one, and after the rollback: PNG or JPEG files."""

    title: str
    before: Path
    promoted: Path
    rolled_back: Path


@dataclass(frozen=True)
class TrainingStory:
    """What there is to tell of a demonstrated training. Pictures are PNG or JPEG files; all text is plain text."""

    moments: Sequence[Moment | tuple[float, str]]
    """In the order in which they happened."""
    champion: str
    """SHA-256 of the version that was served at first, and at the end."""
    challenger: str
    """SHA-256 of the version that the run made."""
    curve: Path
    """The run's losses and measures by step."""
    dataset: Path
    """What the dataset report shows: samples, colourfulness, where from."""
    judgement: Sequence[Sequence[str]]
    """Rows of cells, the first of them the titles; the first cell of each says what the row is about."""
    reasons: Sequence[str]
    """Why the challenger was promoted, or not."""
    differences: Path
    """The contact sheet of the largest differences between the two."""
    photographs: Sequence[Coloured]
    coloured: int
    """Images done while all this went on, by whichever version."""
    failed: int
    """Images quarantined or without an outcome."""
    by_version: Mapping[str, int]
    """How many results each version made, by its SHA-256."""

    @property
    def seconds(self) -> float:
        """From the start to the last moment."""
        return self.moments[-1][0] if self.moments else 0.0


def write_training_page(out: Path, story: TrainingStory) -> Path:
    """Write training.html into the folder `out` and give back its path. Pictures lie inside the file.

    Raises UsageError for a picture that is not there or that no browser shows, WorkerFault where nothing can be
    written.
    """
    text = render(story)
    page = out / NAME
    try:
        out.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise WorkerFault(f"{page} cannot be written: {error.strerror}") from error
    return page


def render(story: TrainingStory) -> str:
    """The page's HTML. The same story gives the same text. Raises UsageError, as `write_training_page`."""
    template = Template(Path(__file__).with_name("training_page.html").read_text(encoding="utf-8"))
    return template.substitute(
        coloured=f"{story.coloured:,}",
        failed=f"{story.failed:,}",
        failed_class="bad" if story.failed else "",
        duration=_clock(story.seconds),
        champion=_short(story.champion),
        challenger=_short(story.challenger),
        moments="".join(_moment(*moment) for moment in story.moments),
        by_version="".join(_counts(story)),
        curve=_picture(story.curve, "Curves of the run"),
        dataset=_picture(story.dataset, "The photographs that were learnt from"),
        judgement=_table(story.judgement),
        reasons="".join(f"<li>{html.escape(reason)}</li>" for reason in story.reasons),
        differences=_picture(story.differences, "The photographs on which the two differ most"),
        photographs=_photographs(story.photographs),
    )


def _counts(story: TrainingStory) -> Iterator[str]:
    """The results of each version, those of the two that the page is about by what they are."""
    roles = {story.challenger: "the challenger", story.champion: "the champion at first"}
    for sha256, images in story.by_version.items():
        what = f"images by {roles.get(sha256, 'another version')}, <code>{_short(sha256)}</code>"
        yield COUNT.substitute(what=what, count=f"{images:,}")


def _moment(seconds: float, text: str) -> str:
    return MOMENT.substitute(clock=_clock(seconds), text=html.escape(text))


def _table(rows: Sequence[Sequence[str]]) -> str:
    """The first row as titles, and the first cell of every other one."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in rows[0])
    body = "".join(f"<tr>{_cells(row)}</tr>" for row in rows[1:])
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(row: Sequence[str]) -> str:
    first, *others = (html.escape(cell) for cell in row)
    return f'<th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in others)


def _photographs(photographs: Sequence[Coloured]) -> str:
    shown = "".join(_photograph(photograph) for photograph in photographs)
    if not shown:
        return ""
    lead = "Each by the champion at first, by the promoted challenger, and after the rollback."
    return SECTION.substitute(title="Before, promoted, rolled back", lead=lead, content=shown)


def _photograph(photograph: Coloured) -> str:
    versions = {
        "before": photograph.before,
        "promoted": photograph.promoted,
        "after the rollback": photograph.rolled_back,
    }
    pictures = (
        COLOURED.substitute(picture=_picture(path, f"{photograph.title}, {when}"), when=when)
        for when, path in versions.items()
    )
    return PHOTOGRAPH.substitute(title=html.escape(photograph.title), pictures="".join(pictures))


def _picture(path: Path, said: str) -> str:
    """An image element with the file's own bytes inside. `said` is what stands for it where it cannot be seen."""
    try:
        data = path.read_bytes()
        with Image.open(path) as picture:
            kind, (width, height) = IN_BROWSERS.get(picture.format or ""), picture.size
    except UnidentifiedImageError as error:
        raise UsageError(f"{path} is no picture") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    if kind is None:
        raise UsageError(f"{path} is neither PNG nor JPEG: not every browser shows it")
    source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" width="{width}" height="{height}" alt="{html.escape(said)}">'


def _clock(seconds: float) -> str:
    """Minutes and seconds, as 3:07."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _short(sha256: str) -> str:
    return html.escape(sha256[:VERSION_DIGITS])
