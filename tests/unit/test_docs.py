"""What the documentation says can be done, can be done."""

import subprocess
import sys
from pathlib import Path

from tests.unit.photo.generate.jpeg import gray_jpeg, with_everything
from tests.unit.photo.test_fidelity import coloured

FIDELITY = Path(__file__).parents[2] / "docs" / "fidelity.md"


def test_the_program_in_the_documentation_gives_the_original_back(tmp_path):
    program = FIDELITY.read_text().partition("```python\n")[2].partition("```")[0]
    data = gray_jpeg(with_everything(trailing=bytes(200_000)))
    source, original = tmp_path / "coloured.jpg", tmp_path / "original.jpg"
    source.write_bytes(coloured(data)[1])
    subprocess.run([sys.executable, "-c", program, source, original], check=True, timeout=60)
    assert original.read_bytes() == data
