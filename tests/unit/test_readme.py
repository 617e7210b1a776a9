"""The README's table of settings is the settings."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from photochrom.worker.settings import Settings

README = Path(__file__).parents[2] / "README.md"
OF_THE_MACHINE = {"concurrency": "cores"}


def settings_table() -> str:
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        value = field.default
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        shown = OF_THE_MACHINE.get(name) or ("" if value in (None, ()) else str(value))
        rows.append(f"| `{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def test_the_table_of_settings_matches_the_code() -> None:
    text = README.read_text()
    table = text.partition("<!-- settings -->\n")[2].partition("\n<!-- /settings -->")[0]
    assert table == settings_table()
