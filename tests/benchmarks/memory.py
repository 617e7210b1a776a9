"""How much memory a large TIFF takes on its way through: `python -m tests.benchmarks.memory`.

Gray photographs of 16 bits are made on disk, strip by strip, and coloured to disk, each in a process of its own. VmHWM
is that process's peak; ru_maxrss can be more, since Linux counts in it what the process had before it became Python.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SIZES = (12, 25, 50, 100)
COMPRESSIONS = ("none", "lzw")
ROWS = 64


def story(source: Path, target: Path) -> None:
    """The whole story from file to file, with the shipped model, as a worker's process does it."""
    from photochrom.worker.coloring.colorize import colorize_file
    from photochrom.worker.inference.engine import load_engine, prepare_process
    from photochrom.worker.photo.base.options import Options
    from photochrom.worker.settings import Settings

    prepare_process(threads=1)
    engine = load_engine("vgg16-yuv")
    with source.open("rb") as file, target.open("wb") as written:
        shutil.copyfileobj(colorize_file(file, engine, Settings(), Options()).body, written)


def make(path: Path, megapixels: float, compression: str) -> None:
    """A landscape of smooth tones and noise, 4:3."""
    import imagecodecs
    import numpy as np
    import tifffile

    height = round(math.sqrt(megapixels * 1e6 * 3 / 4))
    width = round(megapixels * 1e6 / height)
    rng = np.random.default_rng(0)
    across = 20_000 * np.sin(np.arange(width) / 300)

    def encoded() -> Iterator[bytes]:
        for top in range(0, height, ROWS):
            down = np.arange(top, min(top + ROWS, height))[:, None]
            tones = 32_000 + 8_000 * np.cos(down / 200) + across + rng.normal(0, 150, (len(down), width))
            strip = tones.astype(np.uint16)
            yield strip.tobytes() if compression == "none" else imagecodecs.lzw_encode(strip.tobytes())

    options = {} if compression == "none" else {"compression": compression}
    tifffile.imwrite(
        path,
        encoded(),
        shape=(height, width),
        dtype=np.uint16,
        photometric="minisblack",
        rowsperstrip=ROWS,
        metadata=None,
        **options,
    )


def measure(source: Path, target: Path) -> dict[str, float]:
    """Run the story; gives back its peak memory, seconds and sizes."""
    started = time.perf_counter()
    story(source, target)
    return {
        "seconds": time.perf_counter() - started,
        "peak_mb": _status("VmHWM"),
        "maxrss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "source_mb": source.stat().st_size / 2**20,
        "result_mb": target.stat().st_size / 2**20,
    }


def _status(name: str) -> float:
    """A line of /proc/self/status, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name + ":"))


def _in_child(*arguments: str) -> str:
    command = [sys.executable, "-m", "tests.benchmarks.memory", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=float, nargs="+", default=list(SIZES))
    parser.add_argument("--compressions", nargs="+", default=list(COMPRESSIONS), choices=COMPRESSIONS)
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        path, megapixels, compression = arguments.make
        make(Path(path), float(megapixels), compression)
    elif arguments.measure:
        print(json.dumps(measure(*map(Path, arguments.measure))))
    else:
        _table(arguments.megapixels, arguments.compressions)


def _table(sizes: list[float], compressions: list[str]) -> None:
    print(
        "| 16-bit gray TIFF | file, MB | result, MB | peak (VmHWM), MB | ru_maxrss, MB | s |\n|---|---|---|---|---|---|"
    )
    for compression in compressions:
        for megapixels in sizes:
            with tempfile.TemporaryDirectory() as folder:
                source, target = f"{folder}/source.tif", f"{folder}/result.tif"
                _in_child("--make", source, str(megapixels), compression)
                found = json.loads(_in_child("--measure", source, target))
            print(
                f"| {megapixels:g} MP, {compression} | {found['source_mb']:.0f} | {found['result_mb']:.0f} "
                f"| {found['peak_mb']:.0f} | {found['maxrss_mb']:.0f} | {found['seconds']:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
