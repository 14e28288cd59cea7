"""A server that can open no file says so in its log and in its metrics."""

import errno
import logging
import os

import pytest

from toolkit.serving.limits import Connections, Limits


def test_running_out_of_files_is_logged_once_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    connections = Connections(Limits())
    connections.note_files()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(os, "open", refuse)
                connections.note_files()
                connections.note_files()
            connections.note_files()
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    once = [
        ("ERROR", "no connection can be accepted"),
        ("WARNING", "connections can be accepted again"),
    ]
    assert told == 2 * once
    assert vars(caplog.records[0])["fields"] == {"reason": "Too many open files"}
    assert connections.metrics.get_sample_value("churn_out_of_files_total") == 2


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="only Linux tells the numbers")
def test_the_metrics_have_how_many_files_are_open_and_may_be() -> None:
    metrics = Connections(Limits()).metrics
    opened = metrics.get_sample_value("process_open_fds")
    allowed = metrics.get_sample_value("process_max_fds")
    assert opened and allowed and 0 < opened < allowed
