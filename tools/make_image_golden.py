#!/usr/bin/env python3
"""Make tests/golden/image: small pictures, what Pillow decodes them to, resize hashes.

    python3 tools/make_image_golden.py tests/golden/image

NAME.jpg|png|webp   a picture          NAME.EXT.ppm   Pillow's RGB of it (P6)
resize.txt          one case a line:
                    kind in_w in_h fit out_w out_h filter FNV-1a-64-of-the-pixels
The pictures that resize.txt starts from are made by pattern() here and in the test.
Needs Pillow and numpy.
"""
import io
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps


def pattern(kind, width, height):
    """kind 0: gradient and noise; kind 1: black and white noise, which overshoots."""
    i = np.arange(width * height * 3, dtype=np.uint32)
    h = i * np.uint32(0x9E3779B1)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x85EBCA77)
    h ^= h >> np.uint32(13)
    if kind == 1:
        values = (h >> np.uint32(31)) * 255
    else:
        x = i // 3 % width
        y = i // 3 // width
        ramp = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256])
        values = ramp[i % 3, np.arange(i.size)] + (h >> np.uint32(26))
    return values.astype(np.uint8).reshape(height, width, 3)


def chunk(kind, data):
    return (struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data)))


def pack_rows(samples, depth):
    """[h, w, c] integers to PNG rows, each with filter byte 0."""
    rows = []
    for row in samples.reshape(samples.shape[0], -1):
        if depth == 16:
            packed = row.astype(">u2").tobytes()
        elif depth == 8:
            packed = row.astype(np.uint8).tobytes()
        else:
            bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            packed = np.packbits(bits.astype(np.uint8).ravel()).tobytes()
        rows.append(b"\0" + packed)
    return b"".join(rows)


def png(samples, depth, colour, interlaced=False, before=b"", after=b""):
    """A PNG file; `before` and `after` are chunks around IDAT."""
    height, width = samples.shape[:2]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                  (1, 0, 2, 2), (0, 1, 1, 2)]
        raw = b"".join(pack_rows(part, depth)
                       for x, y, dx, dy in passes
                       if (part := samples[y::dy, x::dx]).size)
    else:
        raw = pack_rows(samples, depth)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
            + chunk(b"IDAT", zlib.compress(raw, 9)) + after + chunk(b"IEND", b""))


def exif(orientation, big):
    order = ">" if big else "<"
    return ((b"MM" if big else b"II") + struct.pack(order + "HIH", 42, 8, 2)
            + struct.pack(order + "HHIHH", 0x0100, 3, 1, 6, 0)
            + struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
            + struct.pack(order + "I", 0))


def xmp(orientation):
    return b'<x:xmpmeta><rdf tiff:Orientation="%d"/></x:xmpmeta>' % orientation


def save(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def jpeg_files():
    photo = Image.fromarray(pattern(0, 37, 27))
    cmyk = np.concatenate([pattern(0, 21, 13), pattern(0, 21, 13)[::-1, :, :1] // 2], 2)
    files = {
        "rgb444.jpg": save(photo, "JPEG", quality=90, subsampling=0),
        "rgb422.jpg": save(photo, "JPEG", quality=90, subsampling=1),
        "rgb420.jpg": save(photo, "JPEG", quality=90, subsampling=2),
        "progressive.jpg": save(photo, "JPEG", quality=80, progressive=True),
        "progressive444.jpg": save(photo, "JPEG", quality=80, progressive=True,
                                   subsampling=0),
        "restart.jpg": save(photo, "JPEG", quality=80, restart_marker_blocks=2),
        "grey.jpg": save(photo.convert("L"), "JPEG", quality=85),
        "cmyk.jpg": save(Image.frombytes("CMYK", (21, 13), cmyk.tobytes()), "JPEG",
                         quality=95),
        "rgb_stored.jpg": save(photo, "JPEG", quality=95, keep_rgb=True),
    }
    tiny = Image.fromarray(pattern(0, 6, 4))
    for orientation in range(1, 9):
        files[f"exif{orientation}.jpg"] = save(
            tiny, "JPEG", quality=100, subsampling=0,
            exif=b"Exif\0\0" + exif(orientation, orientation % 2 == 0))
    files["xmp6.jpg"] = save(tiny, "JPEG", quality=100, subsampling=0, xmp=xmp(6))
    # YCCK: the same data with the Adobe marker's transform set to 2
    at = files["cmyk.jpg"].index(b"Adobe")
    files["ycck.jpg"] = (files["cmyk.jpg"][:at + 11] + b"\2" + files["cmyk.jpg"][at + 12:])
    return files


def png_files():
    rgb = pattern(0, 19, 11).astype(np.uint32)
    noise = pattern(1, 19, 11).astype(np.uint32)
    grey = rgb[:, :, :1]
    alpha = (rgb[:, ::-1, 2:] * 3) % 256
    alpha[0, :4, 0] = [0, 1, 254, 255]
    wide = rgb * 257 ^ rgb.reshape(-1)[::-1].reshape(rgb.shape)
    palette = chunk(b"PLTE", pattern(0, 16, 16).tobytes())
    return {
        "rgb.png": png(rgb, 8, 2),
        "rgb_black_white.png": png(noise, 8, 2),
        "rgb_interlaced.png": png(rgb, 8, 2, True),
        "rgb16.png": png(wide, 16, 2),
        "rgba.png": png(np.concatenate([rgb, alpha], 2), 8, 6),
        "rgba_interlaced.png": png(np.concatenate([rgb, alpha], 2), 8, 6, True),
        "rgba16.png": png(np.concatenate([wide, alpha * 257], 2), 16, 6),
        "rgb_trns.png": png(rgb, 8, 2, before=chunk(
            b"tRNS", struct.pack(">HHH", *(int(v) for v in rgb[3, 5])))),
        "grey.png": png(grey, 8, 0),
        "grey1.png": png(grey >> 7, 1, 0),
        "grey2.png": png(grey >> 6, 2, 0),
        "grey4.png": png(grey >> 4, 4, 0, True),
        "grey16.png": png(wide[:, :, :1], 16, 0),
        "grey_trns.png": png(grey, 8, 0, before=chunk(
            b"tRNS", struct.pack(">H", int(grey[3, 5, 0])))),
        "grey_alpha.png": png(np.concatenate([grey, alpha], 2), 8, 4),
        "grey_alpha16.png": png(np.concatenate([grey * 257, alpha * 257], 2), 16, 4),
        "palette.png": png(grey, 8, 3, before=palette),
        "palette_interlaced.png": png(grey, 8, 3, True, before=palette),
        "palette_trns.png": png(grey, 8, 3, before=palette + chunk(
            b"tRNS", bytes((i * 7) % 256 for i in range(200)))),
        "palette_trns_one.png": png(grey >> 4, 4, 3, before=chunk(
            b"PLTE", pattern(0, 4, 4).tobytes()) + chunk(b"tRNS", b"\xff\xff\0")),
        "exif5.png": png(rgb, 8, 2, before=chunk(b"eXIf", exif(5, True))),
        "exif8_after.png": png(rgb, 8, 2, after=chunk(b"eXIf", exif(8, False))),
        "xmp3.png": png(rgb, 8, 2, before=chunk(
            b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(3))),
    }


def webp_files():
    photo = pattern(0, 37, 27)
    alpha = np.concatenate([photo, photo[::-1, :, :1]], axis=2)
    return {
        "lossy.webp": save(Image.fromarray(photo), "WEBP", quality=80),
        "lossy_alpha.webp": save(Image.fromarray(alpha), "WEBP", quality=80),
        "lossless.webp": save(Image.fromarray(photo), "WEBP", lossless=True),
        "lossless_alpha.webp": save(Image.fromarray(alpha), "WEBP", lossless=True,
                                    exact=True),
        "animated.webp": save(Image.fromarray(photo), "WEBP", lossless=True, save_all=True,
                              append_images=[Image.fromarray(photo[::-1].copy())]),
        "exif7.webp": save(Image.fromarray(photo[:9, :14]), "WEBP", lossless=True,
                           exif=exif(7, False)),
    }


def shallow(data):
    """A PNG of 16 bits a sample as one of 8, v / 257 rounded; Pillow cuts or truncates."""
    if data[:4] != b"\x89PNG" or data[24] != 16:
        return data
    width, height, _, colour = struct.unpack(">IIBB", data[16:26])
    at = data.index(b"IDAT")
    size = struct.unpack(">I", data[at - 4:at])[0]
    rows = np.frombuffer(zlib.decompress(data[at + 4:at + 4 + size]), np.uint8)
    values = rows.reshape(height, -1)[:, 1:].copy().view(">u2").astype(np.float64)
    return png(np.rint(values / 257).reshape(height, width, -1).astype(np.uint32), 8, colour)


def reference(data):
    """The contract of src/data/image/image_decode.h, in Pillow."""
    data = shallow(data)
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


RESIZES = [  # in_w, in_h, out_w, out_h
    (1, 1, 1, 1), (1, 1, 7, 5), (9, 5, 1, 1), (3, 7, 256, 256), (7, 3, 7, 9), (7, 3, 9, 3),
    (60, 80, 192, 256), (60, 80, 61, 79), (128, 128, 128, 128), (257, 255, 256, 256),
    (1000, 2, 3, 200), (333, 517, 100, 33), (1600, 1200, 256, 192), (1600, 1200, 1599, 7),
]
FITS = [  # in_w, in_h, size
    (1, 1, 256), (3, 7, 256), (7, 3, 255), (60, 80, 256), (80, 60, 256), (60, 80, 8),
    (5, 2, 3), (2, 5, 3), (256, 256, 256), (600, 4, 256), (1600, 1200, 256),
    (1201, 1600, 224), (256, 255, 256), (255, 256, 256),
]


def resize_lines():
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

    def line(kind, w, h, fit, out, name):
        size = "%d %d" % out.size
        return f"{kind} {w} {h} {fit} {size} {name} {fnv(out.tobytes()):016x}"

    for kind in (0, 1):
        for name, which in filters.items():
            for w, h, out_w, out_h in RESIZES:
                image = Image.fromarray(pattern(kind, w, h))
                yield line(kind, w, h, "exact", image.resize((out_w, out_h), which), name)
            for w, h, size in FITS:
                image = Image.fromarray(pattern(kind, w, h))
                both = (size, size)
                yield line(kind, w, h, "pad", ImageOps.pad(image, both, which, "white"), name)
                yield line(kind, w, h, "squash", image.resize(both, which), name)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name, data in (jpeg_files() | png_files() | webp_files()).items():
        rgb = reference(data)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        with open(os.path.join(folder, name + ".ppm"), "wb") as file:
            file.write(b"P6\n%d %d\n255\n" % rgb.size + rgb.tobytes())
    with open(os.path.join(folder, "resize.txt"), "w", encoding="ascii") as file:
        file.writelines(line + "\n" for line in resize_lines())


if __name__ == "__main__":
    main()
