"""Which model is served under which name.

A fresh installation serves the starter models that ship with it; `champion` is the first of them.
"""

from __future__ import annotations

from pathlib import Path

from worker.errors import CheckpointError

STARTERS = Path(__file__).parent / "starters"
CHAMPION = "champion"
DEFAULT_STARTER = "vgg16-yuv"


def names() -> list[str]:
    """Names that `weights_of` knows."""
    return [CHAMPION, *sorted(path.stem for path in STARTERS.glob("*.safetensors"))]


def weights_of(model: str) -> Path:
    """The weights file of a model: `champion`, or a starter's name. Never a path: a job may come from anywhere.

    Raises CheckpointError when there is no such model.
    """
    path = STARTERS / f"{DEFAULT_STARTER if model == CHAMPION else model}.safetensors"
    if Path(model).name != model or path not in STARTERS.glob("*.safetensors"):
        raise CheckpointError(f"no model {model!r}: there are {', '.join(names())}")
    return path
