"""Servers that stall, break off, lie and send elsewhere, as a user meets them: by a command that has to download.

The data set is a small Omniglot on a server of this machine. What did break off is gone on with where it broke; what is
wrong is one line and exit code 2, and nothing is kept of it.
"""

import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from siamese_lab.config import compose
from siamese_lab.data import download
from siamese_lab.datasets import _omniglot_files as omniglot_files
from tests.security import _bytes as made
from tests.security._user import QUICK, SMALL_OMNIGLOT, command, composed_once, one_line, small_omniglot

pytestmark = pytest.mark.timeout(120)

DATA = made.zipped(*made.drawings())
HALF = len(DATA) // 2
FILE = "images_background.zip"


class Answer(BaseHTTPRequestHandler):
    """Each request is answered by the next of the server's behaviours, the last of them for ever."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        behaviour = server.behaviours.pop(0) if len(server.behaviours) > 1 else server.behaviours[0]
        behaviour(self)

    def start(self):
        wanted = self.headers.get("Range")
        return int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0

    def say(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def give(self, data):
        self.wfile.write(data)
        self.wfile.flush()
        self.server.sent.append(len(data))

    def log_message(self, *_):
        pass


def whole(a, until=None, lie=0):
    """The file from where it was asked for, `until` a byte of it; the announced length may be another."""
    start = a.start()
    if start >= len(DATA) + lie:
        a.say(416, Content_Range=f"bytes */{len(DATA)}", Content_Length="0")
        return
    extent = {"Content_Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA) + lie}"} if start else {}
    a.say(206 if start else 200, Content_Length=str(len(DATA) - start + lie), **extent)
    a.give(DATA[start:until])


def without_ranges(a, until=None):
    a.say(200, Content_Length=str(len(DATA)))
    a.give(DATA[:until])


def breaks(at):
    return partial(whole, until=at)


def stalls(a, at=HALF):
    whole(a, until=at)
    a.server.done.wait(20)


def silent(a):
    a.server.done.wait(20)


def hangs_up(a):
    a.close_connection = True


def lies(by):
    return partial(whole, lie=by)


def without_length(a):
    a.say(200)
    a.give(DATA)


def strange_length(text):
    def behaviour(a):
        a.say(200, Content_Length=text)
        a.give(DATA)
        a.close_connection = True

    return behaviour


def status(code, reason=None):
    def behaviour(a):
        a.send_response(code, reason)
        a.send_header("Content-Length", "0")
        a.end_headers()

    return behaviour


def sends_to(url):
    return lambda a: a.say(302, Location=url, Content_Length="0")


def in_a_circle(a):
    a.say(302, Location=a.path, Content_Length="0")


def login_page(a):
    page = b"<html>please log in</html>"
    a.say(200, Content_Length=str(len(page)), Content_Type="text/html")
    a.give(page)


def endless(a):
    a.say(200)
    try:
        while not a.server.done.is_set():
            a.wfile.write(bytes(1 << 16))
    except OSError:  # the client has had enough
        pass


def broken_chunks(a):
    a.protocol_version = "HTTP/1.1"
    a.say(200, Transfer_Encoding="chunked")
    a.give(b"1000\r\n" + DATA[:0x1000] + b"\r\nno number\r\n")
    a.close_connection = True


def no_http(a):
    a.wfile.write(b"220 ftp.example.org ready\r\n")
    a.close_connection = True


def another_part(a):
    a.say(206, Content_Range=f"bytes 7-{len(DATA) - 1}/{len(DATA)}", Content_Length=str(len(DATA) - 7))
    a.give(DATA[7:])


def strange_total(a):
    start = a.start()
    a.say(206, Content_Range=f"bytes {start}-{len(DATA) - 1}/\u00b2", Content_Length=str(len(DATA) - start))
    a.give(DATA[start:])


def other_bytes(a):
    start = a.start()
    a.say(
        206 if start else 200,
        Content_Length=str(len(DATA) - start),
        Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}",
    )
    a.give(bytes(len(DATA) - start))


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as running:
        running.asked, running.sent, running.done = [], [], threading.Event()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.done.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def check(server, tmp_path, monkeypatch):
    """Runs `siamese-lab check` with the server behaving in turn as it is told."""
    monkeypatch.setenv("SIAMESE_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setattr(compose, "_compose", composed_once)
    small_omniglot(monkeypatch)
    monkeypatch.setattr(
        omniglot_files, "PUBLISHED", {"images_background": (FILE, f"sha256:{hashlib.sha256(DATA).hexdigest()}")}
    )
    monkeypatch.setattr(omniglot_files, "MOST", 2 * len(DATA))

    def run(*behaviours, address=None):
        server.behaviours = list(behaviours)
        # seconds; a busy machine is no server that stalls
        timeout = 1.0 if {stalls, silent} & set(behaviours) else 30.0
        # else a server that is down is waited for, 15 s
        quick = partial(download.download, retries=3, timeout=timeout, backoff=0.01)
        monkeypatch.setattr(omniglot_files, "download", quick)
        address = address or f"http://127.0.0.1:{server.server_port}/python"
        return command("check", "data=omniglot", f"data.address='{address}'", *QUICK, *SMALL_OMNIGLOT)

    return run


@pytest.fixture
def kept(tmp_path):
    """Names of what lies among the downloads, locks apart."""
    return lambda: sorted(
        p.name for p in (tmp_path / "cache" / "downloads").rglob("*") if p.is_file() and p.suffix != ".lock"
    )


FROM = f"bytes={HALF}-"
GOOD = [  # how the server behaves in turn, what it is asked for, the bytes that it sends
    ("as it should", [whole], [None], [len(DATA)]),
    ("breaks off, is resumed", [breaks(HALF), whole], [None, FROM], [HALF, len(DATA) - HALF]),
    (
        "breaks off twice",
        [breaks(HALF), breaks(HALF + 9), whole],
        [None, FROM, f"bytes={HALF + 9}-"],
        [HALF, 9, len(DATA) - HALF - 9],
    ),
    ("breaks off after its headers", [breaks(0), whole], [None, None], [0, len(DATA)]),
    ("stalls, is resumed", [stalls, whole], [None, FROM], [HALF, len(DATA) - HALF]),
    ("says nothing at first", [silent, whole], [None, None], [len(DATA)]),
    ("hangs up at first", [hangs_up, whole], [None, None], [len(DATA)]),
    ("500 at first", [status(500), whole], [None, None], [len(DATA)]),
    ("too many requests at first", [status(429), whole], [None, None], [len(DATA)]),
    ("ignores ranges", [breaks(HALF), without_ranges], [None, FROM], [HALF, len(DATA)]),
    ("416 to a part", [breaks(HALF), status(416), whole], [None, FROM, None], [HALF, len(DATA)]),
    (
        "another part than was asked",
        [breaks(HALF), another_part, whole],
        [None, FROM, None],
        [HALF, len(DATA) - 7, len(DATA)],
    ),
    ("a total that is no number", [breaks(HALF), strange_total], [None, FROM], [HALF, len(DATA) - HALF]),
    (
        "the rest of another file",
        [breaks(HALF), other_bytes, whole],
        [None, FROM, None],
        [HALF, len(DATA) - HALF, len(DATA)],
    ),
    ("says that it is longer", [lies(1000), whole], [None, f"bytes={len(DATA)}-"], [len(DATA)]),
    ("no length", [without_length], [None], [len(DATA)]),
    ("a length that is no number", [strange_length("many")], [None], [len(DATA)]),
    ("a length of a strange digit", [strange_length("\u00b2")], [None], [len(DATA)]),
    ("a length of 5,000 digits", [strange_length("9" * 5000)], [None], [len(DATA)]),
    ("broken chunks", [broken_chunks, whole], [None, "bytes=4096-"], [0x1000 + 19, len(DATA) - 0x1000]),
]


@pytest.mark.parametrize(("behaviours", "asked", "sent"), [pytest.param(*case[1:], id=case[0]) for case in GOOD])
def test_a_bad_server_is_borne(check, server, kept, tmp_path, behaviours, asked, sent):
    one_line(check(*behaviours), 0)
    assert server.asked == asked
    assert kept() == [FILE]
    assert (tmp_path / "cache" / "downloads" / "omniglot" / FILE).read_bytes() == DATA
    assert sorted(server.sent) == sorted(sent)  # of a stall it is noted late


HAND = r".*Fetch it by hand and give its folder, e\.g\. data\.root=FOLDER"
BAD = [  # how the server behaves, what is said, how often it is asked, what is kept for the next attempt
    ("404", [status(404)], f"the server answers 404 Not Found{HAND}", 1, []),
    ("403", [status(403)], f"the server answers 403 Forbidden{HAND}", 1, []),
    ("a reason that moves the cursor", [status(404, "\x1b[2JNo")], rf"404 \\x1b\[2JNo{HAND}", 1, []),
    ("503 for ever", [status(503)], f"the server answers 503{HAND}", 4, []),
    ("breaks off for ever", [breaks(HALF)], f"of {len(DATA):,} bytes came{HAND}", 4, [FILE + ".part"]),
    ("stalls for ever", [stalls, silent], f"timed out{HAND}", 4, [FILE + ".part"]),
    ("silent for ever", [silent], f"timed out{HAND}", 4, []),
    ("hangs up for ever", [hangs_up], f"closed connection without response{HAND}", 4, []),
    ("another file", [login_page], f"its checksum is sha256:[0-9a-f]+, expected sha256:{HAND}", 1, []),
    ("other bytes", [other_bytes], f"its checksum is sha256:[0-9a-f]+, expected sha256:{HAND}", 1, []),
    (
        "says that it is longer",
        [lies(1000)],
        f"{len(DATA):,} of {len(DATA) + 1000:,} bytes came{HAND}",
        4,
        [FILE + ".part"],
    ),
    ("says that it is shorter", [lies(-1000)], f"its checksum is {HAND}", 1, []),
    (
        "announces too much",
        [lies(10 * len(DATA))],
        f"the server announces .* bytes, more than {2 * len(DATA):,}{HAND}",
        1,
        [],
    ),
    ("endless", [endless], f"more than {2 * len(DATA):,} bytes came{HAND}", 1, []),
    ("in a circle", [in_a_circle], f"infinite loop.*{HAND}", None, []),
    (
        "sends to a file",
        [sends_to("file:///etc/passwd")],
        f"Redirection to url 'file:///etc/passwd' is not allowed{HAND}",
        1,
        [],
    ),
    (
        "sends to ftp",
        [sends_to("ftp://127.0.0.1/x")],
        f"elsewhere: address must begin with http.*ftp://127{HAND}",
        1,
        [],
    ),
    ("sends to nowhere", [sends_to("http://127.0.0.1:9/x")], f"refused{HAND}", 4, []),
    ("speaks no HTTP", [no_http], f"220 ftp.example.org{HAND}", 4, []),
]


@pytest.mark.parametrize(("behaviours", "said", "times", "part"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_a_bad_server_is_said(check, server, kept, tmp_path, behaviours, said, times, part):
    one_line(check(*behaviours), 2, f"cannot download http.*: .*{said}")
    assert times is None or len(server.asked) == times
    assert kept() == part
    assert not list((tmp_path / "cache").rglob("*.u8"))


def test_the_next_command_goes_on_where_the_last_one_broke(check, server, kept):
    one_line(check(breaks(HALF)), 2, "bytes came")
    server.asked.clear()
    one_line(check(whole), 0)
    assert server.asked == [FROM]
    one_line(check(status(500)), 0)  # what is there and right is not asked for again
    assert server.asked == [FROM]
    assert kept() == [FILE]


@pytest.mark.parametrize(
    ("part", "asked"),
    [
        pytest.param(DATA, [f"bytes={len(DATA)}-"], id="whole"),
        pytest.param(b"something else", ["bytes=14-", None], id="of something else"),
        pytest.param(DATA + b"more", [f"bytes={len(DATA) + 4}-", None], id="longer than the file"),
        pytest.param(b"", [None], id="empty"),
    ],
)
def test_a_part_that_a_killed_process_left(check, server, kept, tmp_path, part, asked):
    folder = tmp_path / "cache" / "downloads" / "omniglot"
    folder.mkdir(parents=True)
    (folder / f"{FILE}.part").write_bytes(part)
    one_line(check(whole), 0)
    assert server.asked == asked
    assert kept() == [FILE]


def test_an_md5_is_a_checksum_too(check, kept, monkeypatch):
    """The publisher's own are of that kind."""
    monkeypatch.setattr(
        omniglot_files,
        "PUBLISHED",
        {"images_background": (FILE, f"md5:{hashlib.md5(DATA, usedforsecurity=False).hexdigest()}")},
    )
    one_line(check(whole), 0)
    monkeypatch.setattr(omniglot_files, "PUBLISHED", {"images_background": (FILE, f"md5:{'0' * 32}")})
    one_line(check(whole), 2, "its checksum is md5:[0-9a-f]+, expected md5:0000")


def test_a_download_that_was_altered_is_fetched_anew(check, server, kept, tmp_path):
    one_line(check(whole), 0)
    file = tmp_path / "cache" / "downloads" / "omniglot" / FILE
    file.write_bytes(made.altered(DATA, 1000))
    one_line(check(whole), 0)
    assert file.read_bytes() == DATA
    assert server.asked == [None, None]
    assert kept() == [FILE]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        pytest.param(
            "file:///etc", "data.address: address must begin with http:// or https://, got file:///etc", id="file"
        ),
        pytest.param("ftp://127.0.0.1", "address must begin with http", id="ftp"),
        pytest.param("/etc", "address must begin with http", id="path"),
        pytest.param("http://127.0.0.1:port", f"cannot download .*{HAND}", id="port"),
        pytest.param("http://[::1", "data.address: address must begin with http", id="half an address"),
        pytest.param("http://127.0.0.1:9", f"refused{HAND}", id="nobody there"),
        pytest.param("http://127.0.0.1:9/a b", f"cannot download .*{HAND}", id="a space"),
    ],
)
def test_an_address_that_is_none(check, kept, address, said):
    one_line(check(whole, address=address), 2, said)
    assert kept() == []
