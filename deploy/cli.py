"""The `photochrom` command: collects the commands of all folders. Nothing heavy is imported before one is run."""

from __future__ import annotations

import sys

import typer

import deploy.commands
import producer.commands
import training.commands
import training.dataset_command
import training.evaluation_commands
import training.model_commands
import training.run_commands
import worker.commands
from worker.errors import PhotochromError

app = typer.Typer(
    name="photochrom",
    help="Colour for archives of grayscale photographs, in bulk: the archive's gray stays exactly as it is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

_PANELS = {
    "Start here": (deploy.commands.demo, deploy.commands.demo_training, deploy.commands.bench),
    "Colour": (worker.commands.colorize, producer.commands.submit, worker.commands.restore, worker.commands.verify),
    "Submissions": (
        producer.commands.status,
        producer.commands.cancel,
        producer.commands.resume,
        producer.commands.redrive,
        producer.commands.report,
        producer.commands.reconcile,
    ),
    "Processes": (worker.commands.worker, producer.commands.control, training.run_commands.training),
    "Models": (training.commands.train, training.evaluation_commands.evaluate, training.dataset_command.dataset),
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(producer.commands.quarantine, name="quarantine", rich_help_panel="Submissions")
app.add_typer(training.run_commands.runs, name="runs", rich_help_panel="Models")
app.add_typer(training.model_commands.models, name="models", rich_help_panel="Models")
app.add_typer(training.evaluation_commands.evaluation, name="evaluation", rich_help_panel="Models")


def main() -> None:
    """Run the command; errors that are ours are one line and exit code 2."""
    try:
        app()
    except PhotochromError as error:
        print(f"photochrom: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
