"""Small copies of large pairs, kept on disk for the data pipeline. Used in notebook 01."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from PIL import Image

from helpers.images import SAVING, ImageError, open_image, to_pixels

COPY = 512  # pixels of the long side of a copy, at most


def copy_frame(size):
    """(long side, short side) of copies for crops of ``size`` pixels; ImageError if too large."""
    if size > COPY * 3 // 4:
        raise ImageError(f"copies of {COPY} pixels are too small for crops of {size}; "
                         "do without them, or train on smaller crops.")
    return COPY, 1.25 * size


def copies_of(pair, folder, frame):
    """Where the small copies of a pair's images lie in ``folder``: two paths, hazy and clear.

    A name is the original's and a digest of its path, time of change and size, of ``frame``, and of
    how it is cut. So a changed original gets a new copy, and several hazy images share that of the
    clear one.
    """
    marks = []
    for path in (pair.hazy, pair.clear):
        try:
            found = os.stat(path)
        except OSError:
            raise ImageError(f"{path}: no such file; check the path.") from None
        marks.append(f"{os.path.realpath(path)} {found.st_mtime_ns} {found.st_size} {frame}")
    if pair.cut == "centre":  # the clear image is cut to the size of the hazy one
        marks[1] += marks[0]
    elif pair.cut:
        other = {"left": "right", "right": "left"}[pair.cut]
        marks = [f"{marks[0]} {pair.cut}", f"{marks[0]} {other}"]
    digests = (hashlib.sha256(os.fsencode(mark)).hexdigest()[:24] for mark in marks)
    return [Path(folder) / f"{path.stem[:100]}-{digest}.jpg"
            for path, digest in zip((pair.hazy, pair.clear), digests, strict=True)]


def read_copies(pair, folder, frame, open_pair):
    """Both images of a pair, uint8 RGB, from copies in ``folder`` that fit into ``frame``.

    Those that are missing or damaged are made: of the two Pillow images of ``open_pair(pair,
    frame)``, saved as JPEG of quality 95. What comes back is always what the copy holds, the first
    time too. Raises :class:`helpers.images.ImageError` for an unusable pair and a folder that
    cannot be written.
    """
    paths = copies_of(pair, folder, frame)
    with contextlib.suppress(ImageError):
        return [to_pixels(open_image(path)) for path in paths]
    images = [Image.fromarray(to_pixels(image)) for image in open_pair(pair, frame)]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, image in zip(paths, images, strict=True):
            _save_whole(image, path)
    except OSError as error:
        raise ImageError(f"{folder}: copies cannot be written ({error.strerror}); free some space "
                         "or name another folder.") from None
    return [to_pixels(open_image(path)) for path in paths]


def _save_whole(image, path):
    """Write a file whole or not at all, though several threads or processes may write it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            image.save(file, "JPEG", **SAVING["JPEG"])
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
