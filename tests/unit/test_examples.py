"""`make test` tries the same examples every time; a search at random tries others, and so many times more."""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json
from hypothesis import given, strategies
from tests.examples import examples, load_profile

load_profile()
plain, few = [], []

@given(strategies.integers())
def test_plain(number):
    plain.append(number)

@examples(7)
@given(strategies.integers())
def test_few(number):
    few.append(number)

test_plain()
test_few()
print(json.dumps([plain, few]))
"""


def drawn(folder, times=None):
    """The examples that one process draws in an empty folder: where the profile says nothing, and where a test does."""
    root = Path(__file__).parents[2]
    (folder / "script.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "PHOTOCHROM_TEST_EXAMPLES"}
    environment |= {"PYTHONPATH": str(root), **({"PHOTOCHROM_TEST_EXAMPLES": times} if times else {})}
    command = [sys.executable, "script.py"]
    return json.loads(subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True).stdout)


def test_without_a_word_the_same_examples_are_tried_every_time(tmp_path):
    plain, few = drawn(tmp_path)
    assert (len(plain), len(few)) == (100, 7)
    assert drawn(tmp_path) == [plain, few]


def test_a_search_tries_other_examples_every_time_and_so_many_times_more(tmp_path):
    plain, few = drawn(tmp_path, "3")
    assert (len(plain), len(few)) == (300, 21)
    assert drawn(tmp_path, "3") != [plain, few]


def test_a_search_may_be_as_short_as_is_wanted(tmp_path):
    plain, few = drawn(tmp_path, "0.05")
    assert (len(plain), len(few)) == (5, 1)
