"""Hostile zips are refused whole."""

import stat
import zipfile

import pytest

from siamese_lab.data.archive import Archive
from siamese_lab.data.images import BrokenImageError
from siamese_lab.errors import LabError


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


@pytest.mark.parametrize("name", ["../evil.png", "a/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png"])
def test_climbing_out_is_refused(tmp_path, name):
    with pytest.raises(LabError, match=r"evil.*leads out"):
        Archive(zipped(tmp_path / "a.zip", [("fine.png", b""), (name, b"x")]))


def test_links_are_refused(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(LabError, match="link"):
        Archive(zipped(tmp_path / "a.zip", [(link, b"/etc/passwd")]))


def test_duplicates_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        file = zipped(tmp_path / "a.zip", [("a.png", b"1"), ("a.png", b"2")])
    with pytest.raises(LabError, match="twice"):
        Archive(file)


def test_encrypted_is_refused(tmp_path):
    file = zipped(tmp_path / "a.zip", [("a.png", b"1")])
    data = bytearray(file.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(data)
    with pytest.raises(LabError, match="encrypted"):
        Archive(file)


def test_bombs_are_refused(tmp_path):
    with pytest.raises(LabError, match="unpacks from"):
        Archive(zipped(tmp_path / "a.zip", [("a.png", bytes(50_000_000))], zipfile.ZIP_DEFLATED))


def test_a_damaged_member_is_named_by_its_reason(tmp_path):
    file = zipped(tmp_path / "a.zip", [("a.png", b"contents")])
    file.write_bytes(file.read_bytes().replace(b"contents", b"CONTENTS"))
    with pytest.raises(BrokenImageError, match="CRC"):
        Archive(file).read("a.png")


@pytest.mark.parametrize("data", [b"", b"no zip at all"])
def test_not_a_zip(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(LabError, match="cannot be read as a zip"):
        Archive(tmp_path / "a.zip")
