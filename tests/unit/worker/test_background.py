"""Threads beside the work: nothing that is raised in them ends them."""

import threading

from photochrom.worker.errors import RetryableError
from photochrom.worker.process.background import every


def test_whatever_is_raised_is_one_line_and_it_is_done_again(caplog):
    failures, done, over = iter([RuntimeError("still\nexpired"), RetryableError("S3 is away")]), threading.Event(), []

    def work():
        if over:
            return
        if failure := next(failures, None):
            raise failure
        done.set()

    thread = every(0.001, work, "a duty")
    assert done.wait(30)
    over.append(True)
    assert thread.is_alive()
    assert [(record.action, record.getMessage()) for record in caplog.records if record.levelname == "ERROR"] == [
        ("thread_goes_on", "a duty goes on after: RuntimeError: still expired"),
        ("thread_goes_on", "a duty goes on after: S3 is away"),
    ]
    assert not [record for record in caplog.records if record.levelname == "ERROR" and record.exc_info]
