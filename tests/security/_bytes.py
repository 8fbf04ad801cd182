"""Files as broken and as odd as they come: images, zips."""

import io
import stat
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

SIDE = 16
GREY = np.add.outer(np.arange(SIDE), 10 * np.arange(SIDE)).astype(np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
RED = np.tile(np.array([255, 0, 0], np.uint8)[:, None, None], (1, 8, 8))  # (C, H, W)


def encoded(image, kind="PNG", **options):
    """An image, or an array (H, W) or (H, W, 3), as the bytes of a file."""
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks, width=2, height=2, depth=8, colour=0, data=None):
    """A PNG by hand; `chunks` stand before the pixels."""
    rows = bytes(1000) if data is None else data
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = b"".join([chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])
    return b"\x89PNG\r\n\x1a\n" + body


def wide(side):
    """Files of some bytes whose headers ask for side x side pixels."""
    tiff = encoded(GREY, "TIFF")
    short, long = struct.pack("<HIHH", 3, 1, SIDE, 0), struct.pack("<II", 1, side)
    for tag in (256, 257):  # width, height, which Pillow may have written as either type
        for old in (struct.pack("<H", tag) + short, struct.pack("<HHII", tag, 4, 1, SIDE)):
            tiff = tiff.replace(old, struct.pack("<HH", tag, 4) + long)
    bmp = bytearray(encoded(GREY, "BMP"))
    bmp[18:26] = struct.pack("<ii", side, side)
    return {
        "png": png(width=side, height=side),
        "tiff": tiff,
        "bmp": bytes(bmp),
        "ppm": f"P6 {side} {side} 255\n".encode() + bytes(100),
    }


def altered(data, at, bits=0xFF):
    """One byte of the file is another."""
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def text_bomb(kind):
    """A PNG with 100 MB of compressed comment in 100 kB."""
    bomb = zlib.compress(bytes(100_000_000), 9)
    head = {"zTXt": b"Comment\0\0", "iTXt": b"Comment\0\1\0\0\0", "iCCP": b"profile\0\0"}[kind]
    return png(chunk(kind.encode(), head + bomb))


def turned(orientation):
    """A PNG that says it has to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(GREY[:8], exif=exif.tobytes())


def frames(kind, **options):
    """An animation, or a file of pages: grey 40, then grey 200."""
    first, second = (Image.new("RGB", (8, 8), (grey, grey, grey)) for grey in (40, 200))
    return encoded(first, kind, save_all=True, append_images=[second], **options)


def zipped(*members, compression=zipfile.ZIP_STORED):
    """A zip of (name or ZipInfo, bytes)."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def special(kind):
    """A zip with a member that is a link or a device."""
    member = zipfile.ZipInfo("link.png")
    member.create_system, member.external_attr = 3, (kind | 0o777) << 16
    return zipped((member, b"/etc/passwd"))


def flagged(data, at, value):
    """A zip whose directory says something else of its first member: bytes `at` of the entry."""
    entry = data.index(b"PK\x01\x02") + at
    return data[:entry] + value + data[entry + len(value) :]


def overlapping(count=50):
    """A zip whose members all share the bytes of one, so that a small file gives as much as you like (Fifield 2019)."""
    kernel = zipped(("0.png", NOISE.tobytes()))
    start, end = kernel.index(b"PK\x01\x02"), kernel.index(b"PK\x05\x06")
    entry = kernel[start:end]
    directory = b"".join(entry[:-5] + f"{i:x}.png"[-5:].encode().rjust(5, b"0") for i in range(count))
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0)
    return kernel[:start] + directory + tail


LINK, DEVICE, PIPE = stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO


def drawings(characters=2, spoilt=None, image=None):
    """Members of a small Omniglot: 20 drawings of each character; `spoilt` replaces the first one's bytes."""
    rng = np.random.default_rng(1)
    members = []
    for character in range(1, characters + 1):
        for drawer in range(1, 21):
            ink = Image.fromarray(rng.integers(0, 2, (105, 105), dtype=np.uint8) * 255)
            name = f"images_background/Greek/character{character:02}/{character:04}_{drawer:02}.png"
            members.append((name, encoded(image or ink.convert("1"))))
    if spoilt is not None:
        members[0] = (members[0][0], spoilt)
    return members
