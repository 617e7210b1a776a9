"""What a worker may read and write. Jobs may come from anywhere; this list comes from whoever runs the worker."""

from __future__ import annotations

from photochrom.worker.errors import ImageFault
from photochrom.worker.jobs.messages import Task
from photochrom.worker.s3.store import Location
from photochrom.worker.settings import Settings


def check_allowed(task: Task, settings: Settings) -> None:
    """Raises ImageFault ("not-allowed") when source or destination lies outside the settings' lists."""
    for url, allowed, setting in (
        (task.source, settings.read_from, "READ_FROM"),
        (task.destination, settings.write_to, "WRITE_TO"),
    ):
        if not any(Location.parse(place).contains(Location.parse(url)) for place in allowed):
            listed = ", ".join(allowed) or "nothing"
            raise ImageFault("not-allowed", f"{url} is outside PHOTOCHROM_{setting}, which allows {listed}")
