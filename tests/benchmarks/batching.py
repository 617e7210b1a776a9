"""How near the batcher comes to what a device can do: `python -m tests.benchmarks.batching`.

The device is simulated: a batch takes 20 ms and every picture in it 2 ms, in which nothing else is done. Callers are
threads that ask for one picture after another, as those of a worker do, twice as many as a batch holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import numpy as np

from photochrom.worker.inference.batcher import Batcher, Batching
from photochrom.worker.settings import Settings

BATCH_SECONDS, PICTURE_SECONDS = 0.020, 0.002
PICTURES, REPETITIONS = 960, 3


def device(grays: Sequence[np.ndarray], vividness: float | None) -> np.ndarray:
    """Stands in for a network on a device: no chroma, after its time."""
    time.sleep(BATCH_SECONDS + PICTURE_SECONDS * len(grays))
    return np.zeros((len(grays), 2, 56, 56), np.float32)


def rate(predict: Callable[[np.ndarray], np.ndarray], callers: int, pictures: int) -> float:
    """Pictures a second by so many threads."""
    gray = np.zeros((224, 224), np.uint8)
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda _: None, range(callers)))  # the threads are there
        started = time.perf_counter()
        list(pool.map(lambda _: predict(gray), range(pictures)))
        return pictures / (time.perf_counter() - started)


def measure(pictures: int = PICTURES, repetitions: int = REPETITIONS) -> dict[str, float]:
    """Pictures a second, one at a time and in batches; the bound at that size of batch, and the share of it.

    In batches it is the median of some repetitions.
    """
    images = int(Settings.model_fields["batch_images"].default)
    wait = float(Settings.model_fields["batch_wait"].default)
    pixels = int(Settings.model_fields["batch_pixels"].default)
    bound = images / (BATCH_SECONDS + images * PICTURE_SECONDS)
    single = rate(lambda gray: device([gray], None)[0], 1, max(1, pictures // images))
    batcher = Batcher(device, Batching(images, wait, pixels))
    try:
        batched = median(rate(batcher.predict, 2 * images, pictures) for _ in range(repetitions))
    finally:
        batcher.close()
    return {
        "batch_images": images,
        "one_at_a_time_per_second": single,
        "batched_per_second": batched,
        "bound_per_second": bound,
        "share_of_bound": batched / bound,
    }


def main() -> None:
    found = measure()
    print(f"simulated device: {1e3 * BATCH_SECONDS:g} ms a batch and {1e3 * PICTURE_SECONDS:g} ms a picture")
    print(f"one at a time: {found['one_at_a_time_per_second']:.0f} pictures/s")
    print(
        f"batches of up to {found['batch_images']:g}: {found['batched_per_second']:.0f} pictures/s, "
        f"{found['share_of_bound']:.3f} of the bound of {found['bound_per_second']:.0f}"
    )


if __name__ == "__main__":
    main()
