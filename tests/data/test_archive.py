"""Zips read where they are; hostile ones stand in test_hostile_data.py."""

import zipfile

from siamese_lab.data.archive import Archive


def zipped(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as out:
        for name, data in members:
            out.writestr(name, data)
    return path


def test_reads_without_unpacking(tmp_path):
    file = zipped(tmp_path / "a.zip", [("b/2.txt", b"two"), ("b/", b""), ("a/1.txt", b"one")])
    with Archive(file) as archive:
        assert archive.names == ["a/1.txt", "b/2.txt"]
        source = archive.source("b/2.txt")
        assert (source.read(), source.name) == (b"two", "b/2.txt")
    assert list(tmp_path.iterdir()) == [file]
