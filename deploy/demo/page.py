"""The page of a demo: one HTML file beside the pictures, for any browser, straight from the disk."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import quote

from PIL import Image, ImageOps, UnidentifiedImageError

from photochrom.deploy.demo.run import COLOURED, GRAY, REAL, Report, Result

PREVIEWS = "preview"
PREVIEW_QUALITY = 90
LONGEST_SIDE = 1600  # pixels, of what the page shows; larger files get a preview
EAGERLY = 40  # pictures that a page loads at once; of more, those that come into view
IN_BROWSERS = ("JPEG", "PNG")

FIGURE = Template("""
<figure class="picture$has_real" style="--ratio: $ratio">
  <div class="frame">
    <img class="gray" src="$gray" alt="" loading="$loading">
    $real
    <img class="coloured" src="$coloured" alt="$title, coloured" loading="$loading">
    <span class="tag left"><span class="of-gray">gray original</span><span class="of-real">real colours</span></span>
    <span class="tag right">coloured</span>
    <span class="cut" aria-hidden="true"></span>
    <input type="range" min="0" max="100" value="50" aria-label="$title: from coloured to original">
  </div>
  <figcaption>
    <h3>$title</h3>
    <p>$origin</p>
    <p class="files"><a href="$gray_file">gray file</a> <a href="$coloured_file">coloured file</a></p>
  </figcaption>
</figure>""")

UNSEEN = Template("""
<li><h3>$title</h3><p>Coloured, but in a form that browsers cannot show:
<a href="$coloured_file">coloured file</a>.</p></li>""")

FAILED = Template("""
<li><h3>$title <code>$reason</code></h3><p>$message</p><p class="key">$key$purpose</p></li>""")

SECTION = Template("""
<section><h2>$title</h2><p class="lead">$lead</p><ul class="cards">$items</ul></section>""")


@dataclass(frozen=True)
class Shown:
    """A picture as a browser can show it. `url` is relative to the page; sizes in pixels, upright."""

    url: str
    width: int
    height: int


def write_report(report: Report, out: Path) -> Path:
    """Write index.html and summary.json into `out`; gives back the page's path."""
    (out / "summary.json").write_text(json.dumps(report.summary(), indent=2) + "\n")
    page = out / "index.html"
    page.write_text(render(report, out), encoding="utf-8")
    return page


def render(report: Report, out: Path) -> str:
    """The page's HTML for the pictures that lie in `out`."""
    loading = "eager" if len(report.results) <= EAGERLY else "lazy"
    pictures = {result: _picture(result, out, loading) for result in report.results if result.outcome == "done"}
    unseen = [_unseen(result) for result, picture in pictures.items() if not picture]
    failed = [_failed(result) for result in report.results if result.outcome != "done"]
    template = Template(Path(__file__).with_name("demo.html").read_text(encoding="utf-8"))
    return template.substitute(
        done=report.count("done"),
        images=len(report.results),
        quarantined=report.count("quarantined"),
        seconds=f"{report.seconds:.1f}",
        rate=f"{report.images_per_second:.1f}",
        model=_escape(report.model),
        version=_escape(report.version or "unknown"),
        pictures="".join(pictures.values()),
        unseen=_section("Not shown", "These files are whole; a browser only cannot show them.", unseen),
        failed=_section("Quarantined", "Set aside, each with its reason. All others went on without them.", failed),
        switch="" if any(result.has_real_colours for result in report.results) else "hidden",
    )


def _picture(result: Result, out: Path, loading: str) -> str:
    """Empty when a browser cannot show it."""
    coloured, gray = _shown(out, COLOURED, result.key), _shown(out, GRAY, result.key)
    if not coloured or not gray:
        return ""
    real = _shown(out, REAL, f"{result.key}.jpg") if result.has_real_colours else None
    return FIGURE.substitute(
        title=_escape(result.title),
        origin=_escape(result.origin or result.key),
        ratio=f"{coloured.width / coloured.height:.4f}",
        gray=gray.url,
        coloured=coloured.url,
        loading=loading,
        has_real=" has-real" if real else "",
        real=f'<img class="real" src="{real.url}" alt="" loading="{loading}">' if real else "",
        gray_file=_url(GRAY, result.key),
        coloured_file=_url(COLOURED, result.key),
    )


def _unseen(result: Result) -> str:
    return UNSEEN.substitute(title=_escape(result.title), coloured_file=_url(COLOURED, result.key))


def _failed(result: Result) -> str:
    return FAILED.substitute(
        title=_escape(result.title),
        reason=_escape(result.reason or result.outcome),
        message=_escape(result.message or "It has no outcome."),
        key=_escape(result.key),
        purpose=" &middot; broken on purpose" if result.broken_on_purpose else "",
    )


def _section(title: str, lead: str, items: list[str]) -> str:
    return SECTION.substitute(title=title, lead=lead, items="".join(items)) if items else ""


def _shown(out: Path, folder: str, key: str) -> Shown | None:
    """The file itself where a browser can show it, else a preview made for it; None when Pillow cannot read it."""
    try:
        with Image.open(out / folder / key) as picture:
            upright = ImageOps.exif_transpose(picture)
            if picture.format in IN_BROWSERS and picture.mode in ("L", "RGB") and max(picture.size) <= LONGEST_SIDE:
                return Shown(_url(folder, key), *upright.size)
            preview = out / PREVIEWS / folder / f"{key}.jpg"
            preview.parent.mkdir(parents=True, exist_ok=True)
            small = _eight_bits(upright)
            small.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            small.save(preview, "JPEG", quality=PREVIEW_QUALITY, icc_profile=picture.info.get("icc_profile"))
            return Shown(_url(PREVIEWS, f"{folder}/{key}.jpg"), *small.size)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError):
        return None


def _eight_bits(picture: Image.Image) -> Image.Image:
    """8-bit gray or RGB; Pillow itself would clip 16-bit gray, not scale it."""
    if picture.mode.startswith("I"):
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return picture.convert("L" if picture.mode in ("1", "L", "LA", "F") else "RGB")


def _url(folder: str, key: str) -> str:
    return quote(f"{folder}/{key}")


def _escape(text: str) -> str:
    return html.escape(text)
