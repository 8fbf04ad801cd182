"""The downloader against a real server on the loopback address."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from siamese_lab.data.download import download
from siamese_lab.errors import LabError

DATA = bytes(range(256)) * 4000
SHA = "sha256:" + hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.breaks = 0  # answers still to be cut short
        self.ranges = True
        self.status = 200
        self.lie = 0  # added to the announced length
        self.stall = threading.Event()
        self.stalls = 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if start >= len(DATA):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(DATA)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = DATA[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        self.send_header("Content-Length", str(len(body) + server.lie))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            body = body[: len(body) // 2]
        elif server.stalls:
            server.stalls -= 1
            self.wfile.write(body[:1000])
            self.wfile.flush()
            server.stall.wait(5)
            return
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.stall.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def get(server, tmp_path):
    def run(checksum=SHA, **options):
        url = f"http://127.0.0.1:{server.server_port}/file.zip"
        return download(url, tmp_path / "file.zip", checksum, **({"backoff": 0.01, "patience": 5} | options))

    return run


def test_whole(get, server, tmp_path):
    assert get().read_bytes() == DATA
    assert {path.name for path in tmp_path.iterdir()} <= {"file.zip", "file.zip.lock"}
    get()
    assert server.asked == [None]  # what is there and right is not asked for again
    get("md5:" + hashlib.md5(DATA, usedforsecurity=False).hexdigest())
    assert len(server.asked) == 1


def test_resumed_after_breaks(get, server):
    server.breaks = 2
    assert get().read_bytes() == DATA
    assert server.asked == [None, f"bytes={len(DATA) // 2}-", f"bytes={len(DATA) * 3 // 4}-"]


def test_resumed_by_the_next_call(get, server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(DATA[:1234])
    assert get().read_bytes() == DATA
    assert server.asked == ["bytes=1234-"]


def test_whole_part(get, server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(DATA)
    assert get().read_bytes() == DATA


def test_foreign_part_is_fetched_anew(get, server, tmp_path):
    (tmp_path / "file.zip.part").write_bytes(b"something else")
    assert get().read_bytes() == DATA
    assert server.asked == ["bytes=14-", None]


def test_server_without_ranges(get, server):
    server.breaks, server.ranges = 1, False
    assert get().read_bytes() == DATA


def test_a_stall_is_given_up_and_resumed(get, server):
    server.stalls = 1
    assert get(patience=0.3).read_bytes() == DATA
    assert server.asked == [None, "bytes=1000-"]


def test_wrong_checksum(get, server, tmp_path):
    with pytest.raises(LabError, match=r"its checksum is sha256:.*expected sha256:0000"):
        get("sha256:" + "0" * 64)
    assert not (tmp_path / "file.zip").exists()
    assert len(server.asked) == 1


@pytest.mark.parametrize(("lie", "match"), [(1000, "of 1,025,000 bytes came"), (-1000, "checksum")])
def test_lying_length(get, server, tmp_path, lie, match):
    server.lie = lie
    server.ranges = False
    with pytest.raises(LabError, match=match):
        get(retries=1)
    assert not (tmp_path / "file.zip").exists()


@pytest.mark.parametrize(("status", "asked"), [(404, 1), (503, 3)])
def test_errors_of_the_server(get, server, status, asked):
    server.status = status
    with pytest.raises(LabError, match=str(status)):
        get(retries=2)
    assert len(server.asked) == asked


def test_no_server(tmp_path):
    with pytest.raises(LabError, match="refused"):
        download("http://127.0.0.1:9/x", tmp_path / "x", SHA, retries=1, backoff=0.01)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/etc/passwd"])
def test_other_addresses(tmp_path, url):
    with pytest.raises(ValueError, match="http"):
        download(url, tmp_path / "x", SHA)
