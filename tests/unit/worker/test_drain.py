"""A worker that is told to stop has ended in time. Each in a process of its own: it has the signals and the timer."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LONG = 300.0
"""Seconds; nothing here lasts so long unless it is broken."""

START = f"""
import math, os, signal, time
import billiard
from photochrom.worker.process import shutdown as drain

def child(work):
    started = billiard.Process(target=work)
    started.start()
    return started

def work_for_ever():
    time.sleep({LONG})
"""


def python(code):
    command = [sys.executable, "-c", START + code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONG / 2)


def test_what_still_works_when_time_is_up_is_killed_and_the_parent_ends_in_order():
    code = """
hanging = child(work_for_ever)
drain.end_within(3600)
signal.raise_signal(signal.SIGALRM)
hanging.join()
print(hanging.exitcode)
"""
    done = python(code)
    assert (done.stdout.strip(), done.returncode) == ("-9", 0), done.stderr
    assert "no time left" in done.stderr


def test_children_are_killed_while_the_parent_has_time_to_put_back_what_they_had():
    code = """
def seconds_until_children_are_killed(seconds):
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    drain.end_within(seconds)
    return math.ceil(signal.getitimer(signal.ITIMER_REAL)[0])
print(*map(seconds_until_children_are_killed, (600, 100, 8)))
"""
    assert python(code).stdout.split() == ["595", "95", "4"]


def test_a_parent_that_does_not_end_is_ended_and_says_where_it_hung():
    done = python("drain.end_within(0.2)\nwhile True: time.sleep(1)")
    assert (done.returncode, "most recent call first" in done.stderr) == (1, True)


def test_told_to_stop_twice_the_first_time_counts():
    code = """
drain.end_within(3600)
drain.end_within(0.01)
time.sleep(0.1)
print(signal.getitimer(signal.ITIMER_REAL)[0] > 60)
"""
    assert python(code).stdout.strip() == "True"


@pytest.mark.parametrize("asked", [False, True])
def test_children_see_that_their_parent_was_told_to_stop(asked):
    code = f"""
def look():
    os._exit(int(drain.is_draining()))
if {asked}:
    drain.start_draining()
looking = child(look)
looking.join()
print(looking.exitcode == {asked})
"""
    assert python(code).stdout.strip() == "True"


def test_a_child_outlives_a_sigterm_to_its_group_and_can_tell_its_parent_to_stop():
    code = """
def work():
    drain.outlive_the_group()
    os.kill(os.getpid(), signal.SIGTERM)
    drain.stop_this_worker()
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(drain.is_draining()))
working = child(work)
working.join()
print(working.exitcode, told)
"""
    assert python(code).stdout.strip() == "0 [True]"


def test_where_threads_do_the_work_it_is_given_back_and_the_process_ends_with_them():
    code = """
import threading
threading.Thread(target=time.sleep, args=(100,)).start()
drain.work_in_threads(lambda: print("given back", flush=True))
drain.end_within(3600)
signal.raise_signal(signal.SIGALRM)
print("it went on")
"""
    done = python(code)
    assert (done.stdout.strip(), done.returncode) == ("given back", 0), done.stderr
    assert "no time left" in done.stderr


def test_a_process_whose_threads_work_ends_also_when_nothing_can_be_given_back():
    code = """
drain.work_in_threads(lambda: 1 / 0)
drain.end_within(3600)
signal.raise_signal(signal.SIGALRM)
print("it went on")
"""
    assert python(code).stdout.strip() == ""


def test_a_thread_can_tell_its_own_process_to_stop():
    code = """
import threading
told = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: told.set())
thread = threading.Thread(target=drain.stop_this_worker)
thread.start()
thread.join()
print(told.wait(60), drain.is_draining())
"""
    assert python(code).stdout.strip() == "True True"
