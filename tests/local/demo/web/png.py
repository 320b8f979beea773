"""How does a picture from the browser get small? By few colours: a page has few, and its letters soft edges.

The browser writes PNG with three bytes for each pixel, and packs in a hurry. Here each colour is one byte, and its
shades are rounded: a picture of a page has then a third of the size.
https://www.w3.org/TR/png-3/
"""

import struct
import zlib
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = 3
_LEVELS = 17
"""Shades are rounded to multiples of this: black and white stay what they are."""
_MOST = 256


def packed(picture: bytes) -> bytes:
    """Return a picture of three bytes for each pixel with few colours. Raises ValueError if it has too many."""
    chunks = list(_chunks(picture))
    width, height, depth, kind = struct.unpack(">IIBB", chunks[0][1][:10])
    if (depth, kind) != (8, 2):
        raise ValueError("the picture has not three bytes for each pixel")
    pixels = zlib.decompress(b"".join(data for name, data in chunks if name == b"IDAT"))
    rows = [_rounded(row) for row in _rows(pixels, width * _CHANNELS)]
    colours = sorted({row[place : place + _CHANNELS] for row in rows for place in range(0, len(row), _CHANNELS)})
    if len(colours) > _MOST:
        raise ValueError(f"the picture has {len(colours)} colours")
    number = {colour: index for index, colour in enumerate(colours)}
    lines = (bytes(number[row[place : place + _CHANNELS]] for place in range(0, len(row), _CHANNELS)) for row in rows)
    small = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0),
        b"PLTE": b"".join(colours),
        b"IDAT": zlib.compress(b"".join(b"\0" + line for line in lines), 9),
        b"IEND": b"",
    }
    return _SIGNATURE + b"".join(_chunk(name, data) for name, data in small.items())


def _chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(picture):
        (length,) = struct.unpack(">I", picture[place : place + 4])
        yield picture[place + 4 : place + 8], picture[place + 8 : place + 8 + length]
        place += length + 12


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _rows(pixels: bytes, length: int) -> Iterator[bytes]:
    """Yield the rows, without the filters by which each is told by the one before."""
    above = bytes(length)
    for start in range(0, len(pixels), length + 1):
        above = _unfiltered(pixels[start], bytearray(pixels[start + 1 : start + 1 + length]), above)
        yield above


def _unfiltered(how: int, row: bytearray, above: bytes) -> bytes:
    for place in range(len(row) if how else 0):
        left = row[place - _CHANNELS] if place >= _CHANNELS else 0
        up, corner = above[place], above[place - _CHANNELS] if place >= _CHANNELS else 0
        told = (0, left, up, (left + up) // 2, _nearest(left, up, corner))[how]
        row[place] = (row[place] + told) % 256
    return bytes(row)


def _nearest(left: int, up: int, corner: int) -> int:
    """Return Paeth's choice: which of the three is nearest to left + up - corner."""
    whole = left + up - corner
    return min((left, up, corner), key=lambda each: abs(whole - each))


def _rounded(row: bytes) -> bytes:
    return bytes((shade + _LEVELS // 2) // _LEVELS * _LEVELS for shade in row)
