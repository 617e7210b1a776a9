"""The `photochrom` command: collects the commands of all folders. Nothing heavy is imported before one is run."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

import photochrom.deploy.commands
import photochrom.producer.client.commands
import photochrom.worker.cli.commands
from photochrom.deploy.stack.process import LoggedFault
from photochrom.training.cli import dataset, evaluation, models, train
from photochrom.training.cli import runs as run_commands
from photochrom.worker.errors import PhotochromError
from photochrom.worker.version import VERSION

app = typer.Typer(
    name="photochrom",
    help="Colour for archives of grayscale photographs, in bulk: the archive's gray stays exactly as it is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

EXTRAS = {
    "demo": "demo",
    "demo-training": "demo",
    "bench": "worker",
    "colorize": "worker",
    "restore": "worker",
    "verify": "worker",
    "worker": "worker",
    "training": "training",
    "train": "training",
    "evaluate": "training",
    "dataset": "training",
    "models publish": "worker",
    "evaluation create": "training",
    "evaluation show": "training",
}
"""What has to be installed for a command beside the base dependencies; what is not here needs no more than these."""

FOLDERS = ("photochrom",)

_PANELS = {
    "Start here": (
        photochrom.deploy.commands.demo,
        photochrom.deploy.commands.demo_training,
        photochrom.deploy.commands.bench,
    ),
    "Colour": (
        photochrom.worker.cli.commands.colorize,
        photochrom.producer.client.commands.submit,
        photochrom.worker.cli.commands.restore,
        photochrom.worker.cli.commands.verify,
    ),
    "Submissions": (
        photochrom.producer.client.commands.status,
        photochrom.producer.client.commands.cancel,
        photochrom.producer.client.commands.resume,
        photochrom.producer.client.commands.redrive,
        photochrom.producer.client.commands.report,
        photochrom.producer.client.commands.reconcile,
    ),
    "Processes": (photochrom.worker.cli.commands.worker, photochrom.deploy.commands.control, run_commands.training),
    "Models": (train.train, evaluation.evaluate, dataset.dataset),
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(photochrom.producer.client.commands.quarantine, name="quarantine", rich_help_panel="Submissions")
app.add_typer(run_commands.runs, name="runs", rich_help_panel="Models")
app.add_typer(models.models, name="models", rich_help_panel="Models")
app.add_typer(evaluation.evaluation, name="evaluation", rich_help_panel="Models")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"photochrom {VERSION}")
        raise typer.Exit


@app.callback()
def _of_all_commands(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command; errors that are ours are one line and exit code 2, and so is a package that is not installed."""
    # A thread of OpenMP that waits in a loop takes the core from another process: two runs at once would slow each
    # other by a factor of ten. It is read when torch is loaded, and children inherit it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has not all letters is no error
    try:
        app()
    except LoggedFault as error:
        _end(*str(error).splitlines())
    except PhotochromError as error:
        _end(str(error))
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in FOLDERS:
            raise
        _end(_missing(error.name))
    except KeyboardInterrupt:
        sys.exit(130)


def _end(*lines: str) -> None:
    from photochrom.worker.cli.terminal import printable

    print("photochrom:", "\n".join(map(printable, lines)), file=sys.stderr)
    sys.exit(2)


def _missing(module: str) -> str:
    command = _asked()
    extra = f"[{EXTRAS[command]}]" if command in EXTRAS else ""
    return f"{command} needs more packages ({module} is not here): pip install 'photochrom{extra}'"


def _asked() -> str:
    """The command that was asked for, such as `models list`."""
    command: object = typer.main.get_command(app)
    names = []
    for word in sys.argv[1:]:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            break
        names.append(word)
    return " ".join(names)


if __name__ == "__main__":
    main()
