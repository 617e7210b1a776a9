"""The autoencoder as it is told, and one change at a time: its kernel, its filters, its epochs, and what we correct.

As told: kernel 5, 256 and 128 filters, binary cross-entropy on the RGB picture, Adam at its usual rate without
schedule, decay or average, batches of 50, 30 % of the photographs to validate with, the data in 20 chunks taken in
turn, the best checkpoint kept, early stopping. Its bottleneck of 2,000 units makes 206 million parameters, nearly all
of them there; the other variants change one thing each of a network that is the same but for a bottleneck of 160.
"""

from __future__ import annotations

from photochrom.training.study.variant import Study, Variant

MODEL = "autoencoder"
CHUNKS = 20
OWN = {"decay": 0.01, "final_rate": 0.02, "warmup": 200, "average": 0.99}
"""How the other recipes are optimised: AdamW with warm-up, cosine and averaged weights."""

AUTOENCODER = Study(
    name="autoencoder",
    title="The autoencoder",
    reference="reduced",
    variants=(
        Variant("as-told", "bottleneck of 2,000: 206 million parameters", MODEL, config={"dense": 2000}),
        Variant("reduced", "bottleneck of 160, kernel 5, filters 256 and 128", MODEL),
        Variant("kernel-3", "kernel 3 in place of 5", MODEL, config={"kernel": 3}),
        Variant("filters-128", "filters 128 and 64", MODEL, config={"filters": (128, 64)}),
        Variant("few-epochs", "a quarter of the epochs: half of the chunks, once", MODEL, share=0.25),
        Variant("one-chunk", "all photographs in every epoch", MODEL, {"chunks": 1}),
        Variant("adamw", "AdamW, warm-up, cosine, averaged weights", MODEL, OWN),
        Variant("chroma", "draws U and V alone, by their distance", MODEL, config={"draws": "chroma"}),
        Variant("corrected", "chroma, AdamW and one chunk together", MODEL, {**OWN, "chunks": 1}, {"draws": "chroma"}),
    ),
    settings={
        "batch": 50,
        "chunks": CHUNKS,
        "decay": 0.0,  # AdamW without decay is Adam
        "final_rate": 1.0,
        "warmup": 0,
        "average": 0.0,
        "patience": 10,
    },
    config={"dense": 160},
    epochs=2 * CHUNKS,
    validation_share=0.3,
    judges_validation=True,
    validated=40,
)
