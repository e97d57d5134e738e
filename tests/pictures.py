"""Small pictures and their files, sound and damaged, for all tests that read some."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

# Smooth, so that JPEG and WebP keep it to within a few levels.
Y, X = np.mgrid[0:24, 0:40]
PICTURE = np.stack([X * 6, Y * 10, 255 - X * 3 - Y * 4], axis=-1).astype("uint8")
GREY = PICTURE[..., 1]
RGB = PICTURE / 255
ROUGH = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype("uint8")  # its files are long
ALPHA = np.broadcast_to((X > 20) * np.uint8(255), GREY.shape)
WIDE = (X * 1600 + Y * 100 + 7).astype("uint16")  # 16 bits
LOSSY = 0.06  # JPEG, WebP and AVIF of quality 98 keep PICTURE to within this
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, MAKE, DETAILS, EXPOSURE, GPS = 0x0112, 0x010F, 0x8769, 33434, 0x8825


def encoded(pixels=PICTURE, kind="PNG", mode=None, **options):
    """The bytes of an image file of an array or a Pillow image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def save(path, pixels=PICTURE, kind=None, mode=None, **options):
    """Write an image file, and its folder; ``kind`` is that of its name unless given."""
    Image.init()
    kind = kind or Image.registered_extensions()[path.suffix.lower()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pixels, kind, mode, **options))
    return path


def camera_data(orientation=1):
    """EXIF of a photograph, as bytes."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = orientation, "Camera"
    exif[DETAILS] = {EXPOSURE: 0.5}
    exif[GPS] = {1: "N", 2: (47.0, 33.0, 27.0)}
    return exif.tobytes()


def turned(pixels, orientation):
    """The pixels as a camera stores them that was held so, for the orientations 1, 3, 6 and 8."""
    return np.ascontiguousarray(np.rot90(pixels, {1: 0, 3: 2, 6: 1, 8: 3}[orientation]))


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content))


def png(width=40, height=24, depth=8, kind=2, rows=None, before=b""):
    """A PNG by hand; without ``rows`` it has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows)) if rows else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + pixels + chunk(b"IEND", b"")


def png_rows(pixels):
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def damaged(content, rng):
    """A file cut, overwritten, repeated or lengthened at random, one to four times."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        # Half of the time in the header, where it hurts most.
        place = int(rng.integers(0, min(len(content), 200) if rng.random() < 0.5 else len(content)))
        length = int(rng.integers(1, 9))
        match rng.integers(5):
            case 0:
                content[place:place + length] = rng.bytes(length)
            case 1:
                content[place] ^= 1 << int(rng.integers(8))
            case 2:
                content[place:place] = rng.bytes(length)
            case 3:
                content[place:place] = content[place:place + 10 * length]
            case 4:
                del content[max(place, 16):]
    return bytes(content)


# One of each kind that is read: to be damaged.
SMOOTH = np.asarray(Image.fromarray(PICTURE).resize((64, 64)))
ORIGINALS = [
    encoded(SMOOTH, "JPEG", exif=camera_data(6)), encoded(ROUGH, "JPEG", progressive=True),
    encoded(SMOOTH, exif=camera_data(6)), encoded(WIDE), encoded(SMOOTH, mode="P", transparency=7),
    encoded(SMOOTH, "GIF"), encoded(SMOOTH, "WEBP"), encoded(SMOOTH, "AVIF"),
    encoded(SMOOTH, "TIFF"), encoded(SMOOTH, "TIFF", compression="tiff_lzw"),
    encoded(GREY.astype("float32"), "TIFF"), encoded(SMOOTH, "BMP"),
    encoded(SMOOTH, "MPO", save_all=True, append_images=[Image.fromarray(ROUGH)]),
]
