"""What a worker chooses on this machine, and how that is told to people and to machines."""

from __future__ import annotations

import ctypes
import json

from worker.machine import machine
from worker.settings import Settings, settings
from worker.tuning import Choice, Tuning, tune


def tuned(concurrency: int | None, pool: str | None) -> Tuning:
    """For this machine, from the settings and a command's options, which go before them. Raises UsageError."""
    options = {"concurrency": concurrency, "pool": pool}
    given = settings().model_copy(update={name: value for name, value in options.items() if value is not None})
    return tune(given, machine(), _device(given))


def _device(given: Settings) -> str:
    """ "cpu" or "cuda". torch is asked only where that is open, since loading it takes seconds."""
    if given.device == "cpu" or (given.device == "auto" and (given.pool == "prefork" or not _has_driver())):
        return "cpu"
    from worker.device import choose

    return choose(given.device).place.type


def _has_driver() -> bool:
    """Whether NVIDIA's driver is here, without which torch finds no device; it is loaded, and not yet started."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def tell(tuning: Tuning, *, as_json: bool) -> None:
    """Print what was chosen, and why. No setting of another kind is shown: some are secret."""
    choices = [*_numbers(tuning), *tuning.choices]
    if as_json:
        for choice in choices:
            print(json.dumps(choice._asdict()))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "chosen", "why", box=None, pad_edge=False)
    for choice in choices:
        table.add_row(choice.name, str(choice.value), choice.why)
    Console().print(table)


def _numbers(tuning: Tuning) -> list[Choice]:
    from worker.device import choose

    found = choose(tuning.settings.device)
    return [
        Choice("device", found.place.type, "what computes the network"),
        Choice("precision", found.precision, "the fastest numbers that it has"),
    ]
