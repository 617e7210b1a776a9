"""What a worker counts for Prometheus. Seconds by stage are counted in `stages.py`; docs/monitoring.md explains all.

No name of a submission or a photograph is a label: there are too many of them. They stand in the log.
"""

from __future__ import annotations

from typing import Literal, Protocol

from prometheus_client import Counter, Gauge, Histogram

IMAGES = Counter(
    "photochrom_images", "Images that came to an outcome: done, or quarantined for a reason", ["outcome", "reason"]
)
RETRIES = Counter("photochrom_image_retries", "Tries of an image's fetching, colouring or storing, after the first")
GIVEN_BACK = Counter("photochrom_images_given_back", "Images that went back into the queue, by why", ["why"])
JOBS = Counter("photochrom_jobs", "Jobs that were taken from the queue, by how they ended", ["outcome"])
IN_HAND = Gauge("photochrom_images_in_hand", "Images that are worked on now", multiprocess_mode="livesum")
BATCH = Histogram("photochrom_batch_images", "Images in a batch of a GPU", buckets=(1, 2, 4, 8, 16, 32, 64))
SERVED = Gauge(
    "photochrom_model_served",
    "Processes that serve this version of a model, as champion or as a version that jobs pin",
    ["model", "version", "served_as"],
    multiprocess_mode="livesum",
)
PROMOTION = Gauge(
    "photochrom_model_promotion", "Number of the promotion that is served, the lowest one", multiprocess_mode="livemin"
)
REFUSED = Counter("photochrom_models_refused", "New champions that could not be loaded, so that the old one goes on")

VERSION_DIGITS = 12


class Version(Protocol):
    """A version of a model, as far as it is counted."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...


class Served(Protocol):
    """What serves a version, as far as it is counted."""

    @property
    def card(self) -> Version: ...
    @property
    def promotion(self) -> int: ...


def served(now: Served, before: Served | None, served_as: Literal["champion", "pinned"]) -> None:
    """Note that a process serves one engine in the place of another."""
    if before is not None:
        _served(before, served_as).set(0)
    _served(now, served_as).set(1)
    if served_as == "champion":
        PROMOTION.set(now.promotion)


def _served(engine: Served, served_as: str) -> Gauge:
    return SERVED.labels(engine.card.name, engine.card.sha256[:VERSION_DIGITS], served_as)
