"""openapi_hooks.py - what schemathesis cannot know of `serve`: images that are images.
Used by tests/cli/cli_openapi.sh as SCHEMATHESIS_HOOKS=openapi_hooks."""

import base64
import struct
import zlib

import schemathesis
from hypothesis import strategies


def png(red, green, blue):
    """A PNG of 2 x 2 pixels."""
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    rows = 2 * (b"\0" + 2 * bytes((red, green, blue)))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


colour = strategies.integers(0, 255)
images = strategies.builds(png, colour, colour, colour)
schemathesis.openapi.format("binary", images)
schemathesis.openapi.format("image-base64", images.map(lambda data: base64.b64encode(data).decode()))


@schemathesis.hook
def filter_case(context, case):
    """In multipart every part is a text, so that wrong types are none there."""
    negative = case.meta and case.meta.generation.mode.name == "NEGATIVE"
    return not (negative and case.media_type == "multipart/form-data")
