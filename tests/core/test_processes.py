import os

from siamese_lab.core import processes


def test_no_more_cores_than_the_control_group_is_given_time_on(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    file = tmp_path / "cpu.max"
    monkeypatch.setattr(processes, "Path", lambda path: file)
    for text, found in (("250000 100000", 3), ("max 100000", 16), ("5000 100000", 1), ("", 16)):
        file.write_text(text)
        assert processes.available_cores() == found
