"""What training tells Prometheus: steps, runs and how they ended, and the last figures of each model."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from photochrom.training.runs.records import Run

STEPS = Counter("photochrom_training_steps", "Steps of training runs that were taken, by phase", ["phase"])
SECONDS = Counter("photochrom_training_step_seconds", "Seconds spent in steps of training runs", ["phase"])
RUNS = Counter("photochrom_training_runs", "Training runs that ended: promoted, kept or failed", ["outcome"])
ACTIVE = Gauge("photochrom_training_runs_active", "Training runs that are to go on", multiprocess_mode="livemostrecent")
FIGURE = Gauge(
    "photochrom_training_figure",
    "Last figures of a model that is being trained, as its curve shows them",
    ["model", "figure"],
    multiprocess_mode="livemostrecent",
)


def count_step(before: Run, after: Run, seconds: float) -> None:
    """Count a step that led a run from one position to another, which is now its own."""
    phase, position = before.position.phase, after.position
    STEPS.labels(phase).inc()
    SECONDS.labels(phase).inc(seconds)
    for name, value in (position.history or [{}])[-1].items():
        FIGURE.labels(before.request.model, name).set(value)
    if position.status == "failed":
        RUNS.labels("failed").inc()
    if position.status == "ended":
        promoted = position.verdict is not None and position.verdict.sequence is not None
        RUNS.labels("promoted" if promoted else "kept").inc()
