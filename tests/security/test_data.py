"""Broken, odd and hostile images, trees and zips, as a user meets them: by a command.

What cannot be used ends with exit code 2 and one line that names it, what is wrong, and what to do; nothing stays in
the cache. What is only odd is read, and its pixels are right. Downloads stand in `test_hostile_downloads.py`.
"""

import os
import shutil
import socket
import stat
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from siamese_lab.config import compose
from siamese_lab.datasets.folder import Folder
from tests.security import _bytes as made
from tests.security._bytes import GREY, NOISE, RED, SIDE, encoded, flagged, png, special, zipped
from tests.security._user import QUICK, SMALL_OMNIGLOT, command, composed_once, one_line, small_omniglot

pytestmark = pytest.mark.timeout(120)  # nothing may block


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("SIAMESE_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SIAMESE_LAB_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setattr(compose, "_compose", composed_once)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def left(tmp_path):
    """What a command has left behind, locks apart."""

    def found():
        files = [*tmp_path.joinpath("cache").rglob("*"), *tmp_path.joinpath("outputs").rglob("*")]
        return [path for path in files if not path.is_dir() and path.suffix != ".lock"]

    return found


@pytest.fixture
def half(left):
    """Of these, what is no whole store: images of which none is broken may be kept, whatever is wrong with their
    folders.
    """

    def found():
        files = left()
        return [path for path in files if {path.with_suffix(".u8"), path.with_suffix(".json")} - set(files)]

    return found


@pytest.fixture(scope="session")
def plain_tree(tmp_path_factory):
    """Six people with two pictures each."""
    root = tmp_path_factory.mktemp("tree") / "people"
    for person in range(6):
        for index in range(2):
            path = root / f"p{person}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(np.full((8, 8), 40 * person + index, np.uint8)))
    return root


@pytest.fixture
def tree(plain_tree, tmp_path):
    return shutil.copytree(plain_tree, tmp_path / "people")


def check(root, *words, size="16"):
    return command("check", "data=folder", f"data.root={root}", f"data.size={size}", "data.val_share=0", *QUICK, *words)


PICTURE = encoded(GREY)


def put(root, name, data=PICTURE):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def cut(kind):
    data = encoded(NOISE, kind)
    return data[: len(data) // 2]


def pfm(value):
    return b"Pf\n2 2\n-1.0\n" + np.full(4, value, np.float32).tobytes()


JPEG = encoded(NOISE, "JPEG")
TIFF = encoded(GREY, "TIFF")
NOT = r"not an image \(of PNG"
HUGE = r"too many pixels \(.*more than 50,000,000"
BROKEN = [  # file, its bytes, what is said of it
    ("zero-byte.png", b"", "empty, 0 bytes"),
    ("text.png", b"just some text\n" * 20, NOT),
    ("a-login-page.jpg", b"<!DOCTYPE html><html><body>please log in</body></html>", NOT),
    ("vector.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", NOT),
    ("animated-gif.png", encoded(GREY, "GIF"), NOT),
    ("heic.jpg", b"\0\0\0\x18ftypheic" + bytes(99), NOT),
    ("postscript.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", NOT),
    ("document.jpg", b"%PDF-1.7\n" + bytes(99), NOT),
    ("archive.png", zipped(("a.png", encoded(GREY))), NOT),
    ("sound.webp", b"RIFF\x24\0\0\0WAVEfmt " + bytes(30), NOT),
    ("pickle.png", b"\x80\x04cos\nsystem\n", NOT),
    ("header-only.png", encoded(NOISE)[:30], "truncated"),
    ("half.png", cut("PNG"), "truncated"),
    ("half.jpg", cut("JPEG"), "truncated"),
    ("half.bmp", cut("BMP"), "truncated"),
    ("half.pgm", cut("PPM"), "truncated"),
    ("half.tiff", cut("TIFF"), "truncated"),
    ("half.webp", cut("WEBP"), "cannot be decoded"),
    ("without-its-last-bytes.jpg", JPEG[:-2], "truncated"),
    ("plain-text-and-short.ppm", b"P3 2 1 255 255", "cannot be decoded"),
    ("no-number.ppm", b"P3 2 1 255 255 0 zz 0 0 0", "cannot be decoded"),
    ("largest-value-0.pgm", b"P5 2 2 0 abcd", "cannot be decoded"),
    ("altered-pixels.png", made.altered(encoded(NOISE), 2000), "cannot be decoded"),
    ("altered-header.png", made.altered(encoded(NOISE), 20), "truncated or damaged in its header"),
    ("no-width.png", png(width=0), "truncated or damaged in its header"),
    ("too-few-rows.png", png(width=100, height=100), "truncated"),
    (
        "unknown-compression.tiff",
        TIFF.replace(b"\x03\x01\x03\0\x01\0\0\0\x01\0", b"\x03\x01\x03\0\x01\0\0\0\xe7\x03"),
        "in its header",
    ),
    *((f"100000-square.{kind}", data, HUGE) for kind, data in made.wide(100_000).items()),
    ("9000-square.png", png(width=9000, height=9000), HUGE),  # below Pillow's own limit
    ("12000-square.png", png(width=12000, height=12000), HUGE),  # where Pillow only warns
    ("without-its-palette.png", png(colour=3), "its palette is missing"),
    ("exif-garbage.png", encoded(GREY, exif=b"Exif\0\0" + b"garbage" * 9), "its EXIF block.*cannot be read"),
    ("comment-bomb.png", made.text_bomb("zTXt"), "cannot be decoded .*too large"),
    ("utf8-comment-bomb.png", made.text_bomb("iTXt"), "cannot be decoded .*too large"),
    ("profile-bomb.png", made.text_bomb("iCCP"), "cannot be decoded .*too large"),
    ("nan.tiff", encoded(np.full((4, 4), np.nan, np.float32), "TIFF"), "floating-point numbers.*8 or 16 bits"),
    ("infinite.tiff", encoded(np.full((4, 4), np.inf, np.float32), "TIFF"), "floating-point numbers.*8 or 16 bits"),
    ("nan.ppm", pfm(np.nan), "floating-point numbers.*8 or 16 bits"),
    ("32-bits.tiff", encoded(np.full((4, 4), 200, np.int32), "TIFF"), "32 bits.*8 or 16 bits"),
]


@pytest.mark.parametrize(("name", "data", "reason"), [pytest.param(*case, id=case[0]) for case in BROKEN])
def test_a_broken_image_is_refused(tree, left, name, data, reason):
    (tree / "p1" / name).write_bytes(data)
    one_line(
        check("people"),
        2,
        rf"refused 1 broken image in .*people: p1/{name}: .*{reason}.*mend or remove.*data\.broken=skip",
    )
    assert left() == []


def pipe(path):
    os.mkfifo(path)


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as made_here:
        at = Path.cwd()
        os.chdir(path.parent)  # a socket's path is short
        try:
            made_here.bind(path.name)
        finally:
            os.chdir(at)


def sparse(path):
    with path.open("wb") as file:
        file.truncate(600 << 20)


SPECIAL = [
    ("pipe", pipe, "not a regular file but a pipe"),
    ("socket", unix_socket, "not a regular file"),
    ("endless device", lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    ("link to nothing", lambda path: path.symlink_to("nothing.png"), "leads nowhere"),
    ("link to itself", lambda path: path.symlink_to(path.name), "leads nowhere"),
    ("600 MB", sparse, "629,145,600 bytes, more than"),
]


@pytest.mark.parametrize(("make", "reason"), [pytest.param(*case[1:], id=case[0]) for case in SPECIAL])
def test_what_is_no_file_is_never_opened(tree, left, make, reason):
    make(tree / "p1" / "odd.png")
    one_line(check("people"), 2, rf"refused 1 broken image in .*: p1/odd\.png: .*{reason}.*data\.broken=skip")
    assert left() == []


def test_images_that_do_not_fit(tree, left):
    (tree / "p1" / "needle.png").write_bytes(encoded(Image.new("L", (1, 1_000_000))))
    one_line(
        check("people", "data.fit=crop"),
        2,
        r"p1/needle\.png: too narrow to be cropped \(1 x 1000000\): data\.fit=pad or squash",
    )
    one_line(check("people", size="null"), 2, r"unlike sizes .*p1/needle\.png is 1 x 1000000.*give a size")
    assert left() == []


def test_broken_images_are_left_out_if_the_user_says_so(tree):
    (tree / "p1" / "half.png").write_bytes(cut("PNG"))
    os.mkfifo(tree / "p2" / "pipe.png")
    words = "skipped 2 broken images in .*p1/half.png: truncated; p2/pipe.png: not a regular file"
    one_line(check("people", "data.broken=skip"), 0, words)
    one_line(check("people", "data.broken=skip"), 0, words)  # said again where the store is there already
    assert "train 8 images of 4 classes; test 4 images" in check("people", "data.broken=skip").out


def rgb(grey):
    """(H, W) -> (3, H, W)."""
    return np.broadcast_to(grey, (3, *grey.shape))


def cmyk(kind):
    return encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), kind, **({"quality": 100} if kind == "JPEG" else {}))


def see_through():
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 255))
    image.putpixel((0, 0), (0, 0, 0, 0))
    return encoded(image)


def holed():
    pixels = RED.copy()
    pixels[:, 0, 0] = 255
    return pixels


WORDS = np.array([[0, 257, 32896], [65535, 65278, 300]], dtype=np.uint16)
BYTES = np.array([[0, 1, 128], [255, 254, 1]], dtype=np.uint8)
DEEP = b"".join(b"\0" + b"\xff\xff\0\0\0\0" * 8 for _ in range(8))
FORTY = np.full((3, 8, 8), 40, np.uint8)
TOP = GREY[:8]
ORIENTED = {
    1: TOP,
    2: TOP[:, ::-1],
    3: TOP[::-1, ::-1],
    4: TOP[::-1],
    5: TOP.T,
    6: np.rot90(TOP, -1),
    7: TOP[::-1, ::-1].T,
    8: np.rot90(TOP),
}
ODD = [  # name, suffix, bytes, the pixels that are right
    ("16-bit", "png", encoded(WORDS), rgb(BYTES)),
    ("16-bit", "tiff", encoded(WORDS, "TIFF"), rgb(BYTES)),
    ("16-bit", "pgm", encoded(WORDS, "PPM"), rgb(BYTES)),
    ("16-bit colour", "png", png(width=8, height=8, depth=16, colour=2, data=DEEP), RED),
    ("cmyk", "tiff", cmyk("TIFF"), RED),
    ("cmyk", "jpg", cmyk("JPEG"), RED),
    ("animated", "png", made.frames("PNG"), FORTY),
    ("animated", "webp", made.frames("WEBP", lossless=True), FORTY),
    ("many pages", "tiff", made.frames("TIFF"), FORTY),
    ("two views of a phone", "jpg", made.frames("MPO"), FORTY),
    *((f"exif {turn}", "png", made.turned(turn), rgb(pixels)) for turn, pixels in ORIENTED.items()),
    ("exif of no meaning", "png", made.turned(99), rgb(TOP)),
    ("1x1", "png", encoded(np.full((1, 1), 77, np.uint8)), np.full((3, 1, 1), 77)),
    ("one bit", "png", encoded(Image.fromarray(GREY > 90)), rgb((GREY > 90) * np.uint8(255))),
    ("palette", "png", encoded(Image.new("RGB", (8, 8), (255, 0, 0)).convert("P")), RED),
    ("see-through", "png", see_through(), holed()),
    ("garbage for a colour profile", "png", encoded(GREY, icc_profile=b"garbage" * 99), rgb(GREY)),
    ("a jpeg by another name", "png", encoded(Image.new("L", (8, 8), 40), "JPEG", quality=100), FORTY),
    ("capital suffix", "PNG", encoded(GREY), rgb(GREY)),
    ("garbage behind", "png", encoded(GREY) + b"PK\x03\x04" + bytes(999), rgb(GREY)),
    ("end mark missing", "png", encoded(GREY)[:-12], rgb(GREY)),
    ("written as text", "ppm", b"P3 2 1 255  255 0 0  0 0 255", np.array([[[255, 0]], [[0, 0]], [[0, 255]]])),
]


@pytest.mark.parametrize(
    ("suffix", "data", "pixels"), [pytest.param(*case[1:], id=f"{case[0]}, {case[1]}") for case in ODD]
)
def test_an_odd_image_is_read_right(tmp_path, suffix, data, pixels):
    for person in range(6):
        for index in range(2):
            put(tmp_path / "odd", f"p{person}/{index}.{suffix}", data)
    images = Folder(str(tmp_path / "odd"), size=None, val_share=0).load().images
    assert images.shape[1:] == pixels.shape
    assert (images[0].numpy() == pixels).all()
    assert (images[-1].numpy() == pixels).all()


def test_odd_images_are_no_reason_to_complain(tmp_path):
    for name, suffix, data, _ in ODD:
        for index in range(2):
            put(tmp_path / "odd", f"{name}, {suffix}/{index}.{suffix}", data)
    said = check("odd")
    one_line(said, 0)
    assert f"{len(ODD)} of {len(ODD)} would" not in said.out


def replaced(change):
    """A harm that puts something else in the place of the whole tree."""

    def harm(root):
        shutil.rmtree(root)
        change(root)

    return harm


def emptied(*names):
    """A tree of these files only."""
    return replaced(lambda root: [put(root, name) for name in names])


TREES = [  # what is wrong, how it comes about, what is said
    (
        "root missing",
        shutil.rmtree,
        r"people does not exist: give the folder that holds one folder of images per identity",
    ),
    ("root a file", replaced(lambda root: root.write_text("x")), "is not a folder: give"),
    (
        "root a zip",
        replaced(lambda root: root.write_bytes(zipped(("a/1.png", encoded(GREY))))),
        "is not a folder: give",
    ),
    ("root a pipe", replaced(os.mkfifo), "is not a folder: give"),
    ("root a link to nothing", replaced(lambda root: root.symlink_to("nowhere")), "is a link to nothing: give"),
    ("root a link to itself", replaced(lambda root: root.symlink_to(root.name)), r"cannot be read \(Too many levels"),
    ("root empty", replaced(lambda root: root.mkdir()), "holds no images.*one folder of them per identity"),
    ("only empty folders", replaced(lambda root: (root / "a").mkdir(parents=True)), "holds no images"),
    ("only hidden files", emptied("a/.1.png", ".b/2.png", "__MACOSX/c/1.png"), "holds no images"),
    (
        "only other kinds",
        emptied("a/1.heic", "a/2.gif", "b/1.heic"),
        r"its 3 files, e\.g\. a/1\.heic, are of other kinds: convert them",
    ),
    (
        "images in the root",
        lambda root: put(root, "stray.png"),
        r"1 images lie in .*stray\.png: put each identity's images in a folder",
    ),
    (
        "images and folders",
        lambda root: [put(root, f"p0/old/{i}.png") for i in "12"],
        "p0 holds images and folders of images",
    ),
    ("one identity", emptied("a/1.png", "a/2.png"), "1 identity: at least 2 are needed"),
    (
        "one image each",
        emptied("a/1.png", "b/1.png"),
        "fewer than 2 images: a, b; they form no positive pair.*add images",
    ),
    (
        "too few for the parts",
        emptied("a/1.png", "a/2.png", "b/1.png", "b/2.png"),
        "need more than there are: 2; set a share to 0",
    ),
    ("too deep", lambda root: put(root, "a/b/c/d/1.png"), "people/a/b/c/d lies too deep"),
    ("a part misspelt", emptied("train/a/1.png", "train/b/1.png", "tset/c/1.png"), "one named tset: did you mean test"),
    (
        "in two parts",
        emptied(*(f"{p}/{n}/{i}.png" for p in ("train", "test") for n in "abc" for i in "12")),
        "3 identities stand in more",
    ),
    (
        "link in a circle",
        lambda root: (root / "p0" / "loop").symlink_to(".."),
        "p0/loop and .*people are the same folder: remove one",
    ),
    (
        "folder linked to itself",
        lambda root: (root / "p0" / "p0").symlink_to("."),
        "p0/p0 and .*p0 are the same folder",
    ),
    (
        "an identity under two names",
        lambda root: (root / "q").symlink_to("p0"),
        "q and .*p0 are the same folder: remove one",
    ),
    (
        "an identity that links to nothing",
        lambda root: (root / "q").symlink_to("gone"),
        "people/q is a link to nothing: mend or remove",
    ),
    (
        "an identity that links to itself",
        lambda root: (root / "q").symlink_to("q"),
        "people/q is a link to nothing: mend or remove",
    ),
    (
        "no utf-8 in a folder",
        lambda root: put(root, os.fsdecode(b"M\xfcller/1.png")),
        r"M\\udcfcller is no UTF-8: rename it",
    ),
    (
        "no utf-8 in a file",
        lambda root: put(root, os.fsdecode(b"p0/\xff.png")),
        r"p0/\\udcff\.png is no UTF-8: rename it",
    ),
    (
        "a broken image whose name is two lines",
        lambda root: put(root, "p0/a\nb\x1b[2J.png", b""),
        r"p0/a\\nb\\x1b\[2J\.png: empty",
    ),
    (
        "a broken image that writes backwards",
        lambda root: put(root, "p0/\u202egnp.png", b""),
        r"p0/\\u202egnp\.png: empty",
    ),
]


@pytest.mark.parametrize(("harm", "said"), [pytest.param(*case[1:], id=case[0]) for case in TREES])
def test_a_tree_that_cannot_be_used_is_refused(tree, half, harm, said):
    harm(tree)
    one_line(check("people"), 2, said)
    assert half() == []


@pytest.mark.parametrize(
    ("root", "said"),
    [
        pytest.param("''", "root must name a folder of images, got an empty text", id="empty"),
        pytest.param("'two\nlines'", r"two\\nlines does not exist: give the folder", id="two lines"),
        pytest.param("/dev/null/x", "cannot be read|does not exist", id="below a device"),
    ],
)
def test_a_root_that_is_no_folder(root, said, left):
    one_line(check(root), 2, said)
    assert left() == []


def test_a_folder_that_cannot_be_listed(tree, left, monkeypatch):
    """Root may list every folder, so that the system's refusal is played."""
    scandir = os.scandir

    def refuses(path):
        if os.fspath(path).endswith("p3"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    one_line(check("people"), 2, r"cannot read .*people/p3 \(Permission denied\): make it readable")
    assert left() == []


def linked(root):
    shutil.move(root / "p0", root.parent / "elsewhere")
    (root / "p0").symlink_to("../elsewhere")
    shutil.copy(root / "p1" / "0.png", root.parent / "one.png")
    (root / "p1" / "2.png").symlink_to("../../one.png")


def heic(root):
    put(root, "p0/photo.heic")
    put(root, "notes.txt")
    put(root, "bob")


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Ren\u00e9") for form in ("NFC", "NFD"))
NAMES = {
    "spaces": "  a b  ",
    "line ends": "a\nb\r\nc",
    "tab": "a\tb",
    "emoji": "\U0001f9d1\u200d\U0001f680 \U0001f600",
    "255 bytes": "\u00e9" * 127 + "x",
    "escape sequence": "\x1b[31mred\x1b[0m\x07",
    "written backwards": "\u202eevil",
    "quotes": "'\"\\`$(touch x)${oc.env:HOME}",
    "like options": "--force",
    "like yaml": "null",
    "other scripts": "\u05d0\u4e2d\u0639",
}


def named(name):
    """Two identities of this name and one file of it."""
    stem = name.encode()[:240].decode(errors="ignore")
    return lambda root: [put(root, file) for file in (f"{name}/1.png", f"{name}/{stem}.png", f"p0/{stem}.png")]


LEGAL = [  # what, how it comes about, what is said; "" = nothing
    *((name, named(text), "") for name, text in NAMES.items()),
    ("links to elsewhere", linked, ""),
    ("a folder named as an image", lambda root: (root / "p0").rename(root / "p0.png"), ""),
    ("other kinds of files", heic, r"passed over 3 files in .*with the suffix of no image \(\.bmp, .*\), e\.g\. bob$"),
    ("one other file", lambda root: put(root, "p0/a\nb.heic"), r"passed over 1 file in .*, e\.g\. p0/a\\nb\.heic$"),
    (
        "capitals only",
        lambda root: [put(root, f"P0/{i}.png") for i in "12"],
        "'P0' and 'p0' differ only in capitals.*two identities",
    ),
    (
        "accents only",
        lambda root: [put(root, f"{n}/{i}.png") for n in (COMPOSED, DECOMPOSED) for i in "12"],
        r"'Ren\\xe9' .*two identities",
    ),
    ("files that differ in capitals", lambda root: [put(root, f"p0/{n}") for n in ("a.png", "A.png", "a.PNG")], ""),
    (
        "too few images of one",
        lambda root: put(root, "x\ny/1.png"),
        r"1 of 7 identities .*fewer than 2 images: x\\ny; they are left out",
    ),
]


@pytest.mark.parametrize(("change", "said"), [pytest.param(*case[1:], id=case[0]) for case in LEGAL])
def test_an_odd_tree_is_read(tree, change, said):
    change(tree)
    one_line(check("people"), 0, said)


def test_odd_names_go_through_a_whole_run(tree, left):
    """Into figures, TensorBoard's tables, and what another command says of the run."""
    for name in NAMES.values():
        named(name)(tree)
    small = (
        "data=folder",
        "data.root=people",
        "data.size=16",
        "trainer.max_epochs=1",
        "trainer.progress=false",
        *QUICK,
    )
    done = command("train", *small)
    one_line(done, 0)
    assert "\x1b" not in done.out
    (run,) = {path.parent for path in left() if path.name == "run.json"}
    said = command("evaluate", str(run), "--data", "data.split_seed=1")
    one_line(said, 2, "was trained on")


@pytest.fixture
def omniglot(tmp_path, monkeypatch):
    """An empty folder, for a small Omniglot of 2 characters."""
    small_omniglot(monkeypatch)
    (tmp_path / "omniglot").mkdir()
    return tmp_path / "omniglot"


def check_omniglot():
    return command("check", "data=omniglot", "data.root=omniglot", *QUICK, *SMALL_OMNIGLOT)


GOOD = made.drawings()
ONE = zipped(("a.png", b"1"))
OUT = r"has a path that leads out of the archive; copy or download it again"
ZIPS = [  # what is wrong with images_background.zip, its bytes, what is said
    *(
        (f"path {name}", zipped(*GOOD, (name, b"x")), rf"its member .*evil.* {OUT}")
        for name in ("../evil.png", "a/../../evil.png")
    ),
    *(
        (f"path {name}", zipped(*GOOD, (name, b"x")), rf"its member .*evil.* {OUT}")
        for name in ("/etc/evil", "C:/evil", "..\\evil")
    ),
    ("zero byte in a name", zipped(("evilXpng", b"x")).replace(b"evilXpng", b"evil\0png"), OUT),
    ("link", special(made.LINK), "'link.png' is a link or a device; copy"),
    ("device", special(made.DEVICE), "is a link or a device"),
    ("pipe", special(made.PIPE), "is a link or a device"),
    ("encrypted", flagged(ONE, 8, b"\1"), "'a.png' is encrypted; copy"),
    (
        "bomb",
        zipped(("a.png", bytes(50_000_000)), compression=zipfile.ZIP_DEFLATED),
        "unpacks from 4.,... to 50,000,000 bytes; copy",
    ),
    (
        "bomb of many",
        zipped(*((f"{i}.png", bytes(1 << 20)) for i in range(70)), compression=zipfile.ZIP_DEFLATED),
        "bytes unpack to 73,400,320; copy",
    ),
    ("members that overlap", made.overlapping(), "shares its bytes with another; copy"),
    ("empty file", b"", r"cannot be read as a zip \(File is not a zip file\): copy or download it again"),
    ("no zip", b"<html>not found</html>", "cannot be read as a zip"),
    ("truncated", zipped(*GOOD)[:-3000], "cannot be read as a zip"),
    ("its half", zipped(*GOOD)[:20_000], "cannot be read as a zip"),
    ("empty zip", zipped(), "has 0 characters and 0 drawings, expected 2 of 20 drawings each: copy or unpack it again"),
    ("another tree", zipped(("a/1.png", encoded(GREY))), "has 0 characters and 0 drawings"),
    ("a zip in a zip", zipped(("images_background.zip", zipped(*GOOD))), "has 0 characters and 0 drawings"),
    ("a drawing missing", zipped(*GOOD[1:]), "has 2 characters and 39 drawings"),
    ("a drawing too many", zipped(*GOOD, ("x/" + GOOD[0][0], GOOD[0][1])), "has 2 characters and 41 drawings"),
    ("a drawing half", zipped(*made.drawings(spoilt=GOOD[0][1][:200])), "character01/01: truncated"),
    (
        "a drawing of another size",
        zipped(*made.drawings(spoilt=encoded(GREY))),
        f"character01/01: {SIDE} x {SIDE} pixels, Omniglot's have",
    ),
    ("other drawings", zipped(*made.drawings(image=Image.new("1", (105, 105)))), "are not Omniglot's .*copy it again"),
    ("a flipped bit", made.altered(zipped(*GOOD), 1000), r"damaged within its zip \(Bad CRC-32"),
    ("unknown compression", flagged(zipped(*GOOD), 10, b"\x63"), "damaged within its zip .*compression"),
    ("deflated, it says", flagged(zipped(*GOOD), 10, b"\x08"), "damaged within its zip"),
    ("lies about its length", flagged(zipped(*GOOD), 24, b"\x10\0\0\0"), "damaged within its zip"),
    ("lies about its place", flagged(zipped(*GOOD), 42, b"\x07\0\0\0"), "damaged within its zip"),
]


@pytest.mark.parametrize(("data", "said"), [pytest.param(*case[1:], id=case[0]) for case in ZIPS])
def test_a_hostile_zip_is_refused_whole(omniglot, left, data, said):
    (omniglot / "images_background.zip").write_bytes(data)
    one_line(check_omniglot(), 2, said)
    assert left() == []
    assert list(omniglot.rglob("*")) == [omniglot / "images_background.zip"]  # nothing was unpacked


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_zip_with_a_name_twice(omniglot, left):
    (omniglot / "images_background.zip").write_bytes(zipped(*GOOD, GOOD[0]))
    one_line(check_omniglot(), 2, "character01/0001_01.png' is there twice; copy")
    assert left() == []


def run(labels=None, image=None):
    """Members of the first official run, all of them drawings that are there."""
    ways = [(f"run01/training/class{i:02}.png", image or GOOD[i][1]) for i in range(1, 21)]
    items = [(f"run01/test/item{i:02}.png", GOOD[19 + i][1]) for i in range(1, 21)]
    lines = "".join(f"run01/test/item{i:02}.png run01/training/class{i:02}.png\n" for i in range(1, 21))
    return zipped(*ways, *items, ("run01/class_labels.txt", lines.encode() if labels is None else labels))


def as_folder(root):
    for name, data in GOOD[1:]:
        put(root, name, data)
    os.mkfifo(root / GOOD[0][0])


WHOLE = zipped(*GOOD)
PLACES = [  # what is wrong with the folder, how it comes about, what is said
    (
        "root missing",
        lambda root: root.rmdir(),
        "omniglot does not exist: give a folder with images_background.* or null to download",
    ),
    ("root a file", lambda root: (root.rmdir(), root.write_text("")), "is not a folder: give a folder"),
    ("root empty", lambda root: None, r"holds neither images_background\.zip nor a folder images_background"),
    (
        "a pipe for a zip",
        lambda root: os.mkfifo(root / "images_background.zip"),
        r"background\.zip is neither a file nor a folder",
    ),
    (
        "a device for a zip",
        lambda root: (root / "images_background.zip").symlink_to("/dev/zero"),
        "is neither a file nor a folder",
    ),
    ("a link to nothing", lambda root: (root / "images_background.zip").symlink_to("gone"), "holds neither"),
    ("an empty folder", lambda root: (root / "images_background").mkdir(), "has 0 characters and 0 drawings"),
    ("a pipe for a drawing", as_folder, "has 2 characters and 39 drawings"),
]
RUNS = [  # what is wrong with all_runs.zip, its bytes, what is said
    ("no zip", b"x", "all_runs.zip cannot be read as a zip"),
    ("no runs in it", zipped(("a.txt", b"")), "all_runs.zip holds none of the images that it should: copy it again"),
    (
        "one run of twenty",
        run(),
        "is not the 20 official runs of 20 x 20 Omniglot drawings: copy it again, or remove it",
    ),
    ("labels of another encoding", run(b"\xff\xfe\0"), r"is not the 20 official runs \(.*codec.*\): copy it again"),
    ("labels of other files", run(b"a b\n"), r"is not the 20 official runs \('a'\)"),
    ("labels without a partner", run(b"a\n"), "is not the 20 official runs"),
    (
        "labels damaged",
        run().replace(b"run01/test/item01.png run01", b"run01/test/item01.png RUN01"),
        "damaged within its zip",
    ),
    ("no labels", zipped(("run01/test/item01.png", GOOD[0][1])), "is not the 20 official runs"),
    ("an image of another size", run(image=encoded(GREY)), "class01.png: 16 x 16 pixels"),
]


@pytest.mark.parametrize(("harm", "said"), [pytest.param(*case[1:], id=case[0]) for case in PLACES])
def test_a_folder_that_is_not_omniglot(omniglot, left, harm, said):
    harm(omniglot)
    one_line(check_omniglot(), 2, said)
    assert left() == []


@pytest.mark.parametrize(("data", "said"), [pytest.param(*case[1:], id=case[0]) for case in RUNS])
def test_runs_that_are_not_the_official_ones(omniglot, data, said):
    (omniglot / "images_background.zip").write_bytes(WHOLE)
    (omniglot / "all_runs.zip").write_bytes(data)
    one_line(check_omniglot(), 2, said)


def test_a_small_omniglot_that_is_whole(omniglot):
    """What all of the above differ from by one thing."""
    (omniglot / "images_background.zip").write_bytes(WHOLE)
    one_line(check_omniglot(), 0)
    assert stat.S_ISREG((omniglot / "images_background.zip").stat().st_mode)


def test_a_cache_that_cannot_be_written(tree, tmp_path):
    (tmp_path / "cache").write_text("")
    one_line(check("people"), 2, "cannot make the cache folder .*set SIAMESE_LAB_CACHE")
    (tmp_path / "cache").unlink()
    one_line(check("people"), 0)
    (store,) = (tmp_path / "cache" / "store").glob("*.u8")
    # folders stand where files are to be written
    for path in (
        store,
        store.with_suffix(".json"),
        store.with_suffix(".part"),
    ):
        path.unlink(missing_ok=True)
        path.mkdir()
        one_line(check("people"), 2, "cannot write the store of decoded images .*set SIAMESE_LAB_CACHE")
        path.rmdir()
    one_line(check("people"), 0)
