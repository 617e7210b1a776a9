"""What a worker chooses on this machine, and how that is told to people and to machines."""

from __future__ import annotations

import ctypes
import importlib.util
import json

from photochrom.worker.cli.tuning import BY_HAND, Choice, Tuning, tune
from photochrom.worker.machine import machine
from photochrom.worker.settings import Settings, settings

OPENVINO = "openvino"
EXTRA = "the extra photochrom[openvino]"

_WHY_TORCH = "by default: every process computes the same bits"


def tuned(concurrency: int | None, pool: str | None) -> Tuning:
    """For this machine, from the settings and a command's options, which go before them. Raises UsageError."""
    options = {"concurrency": concurrency, "pool": pool}
    given = settings().model_copy(update={name: value for name, value in options.items() if value is not None})
    return tune(given, machine(), _device(given))


def _device(given: Settings) -> str:
    """ "cpu" or "cuda". torch is asked only where that is open, since loading it takes seconds."""
    if given.device == "cpu" or (given.device == "auto" and (given.pool == "prefork" or not _has_driver())):
        return "cpu"
    from photochrom.worker.inference.device import choose

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
    from rich.text import Text

    table = Table("what", "chosen", "why", box=None, pad_edge=False)
    for choice in choices:
        table.add_row(*(Text(str(cell)) for cell in (choice.name, choice.value, choice.why)))  # [openvino] is no markup
    Console().print(table)


def _numbers(tuning: Tuning) -> list[Choice]:
    from photochrom.worker.inference.device import choose

    found = choose(tuning.settings.device)
    return [
        Choice("device", found.place.type, _why_device(tuning, found.place.type)),
        Choice("precision", found.precision, "the fastest numbers that it has"),
        _engine(tuning.settings),
    ]


def _why_device(tuning: Tuning, found: str) -> str:
    if settings().device != "auto":
        return BY_HAND
    if found != "cpu":
        return "a GPU is here, and torch can use it"
    pool = next(choice for choice in tuning.choices if choice.name == "pool")
    if (pool.value, pool.why) == ("prefork", BY_HAND):
        return "pool prefork is set by hand: no GPU is looked for, which processes that were forked cannot use"
    return "no GPU is here that torch can use"


def _engine(given: Settings) -> Choice:
    """What computes the network, or how that will be found out: "auto" is settled once a model is loaded."""
    if given.engine == "torch":
        return Choice("engine", "torch", BY_HAND if "engine" in given.model_fields_set else _WHY_TORCH)
    missing = _why_not_openvino(given.device)
    if given.engine == OPENVINO:
        follows = f"{missing}, and no model will load" if missing else "torch instead, where its colours differ"
        return Choice("engine", OPENVINO, f"{BY_HAND}; {follows}")
    if missing:
        return Choice("engine", "torch", f"ENGINE is auto, but {missing}")
    from photochrom.worker.inference.backends import MARGIN

    why = f"measured when a model is loaded: {OPENVINO} if it is {MARGIN:g} times as fast, else torch"
    return Choice("engine", "auto", why)


def _why_not_openvino(device: str) -> str:
    """Empty where it can be used. It is looked for, and not loaded."""
    if device != "cpu":
        return f"{OPENVINO} is for processors"
    return "" if importlib.util.find_spec(OPENVINO) else f"{OPENVINO} is not installed ({EXTRA})"
