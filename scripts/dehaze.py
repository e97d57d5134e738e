"""Dehaze a folder of photographs: what ``python scripts/dehaze.py IN OUT`` does."""

import argparse
import os
import sys
import textwrap
from pathlib import Path

from tqdm import tqdm

from helpers import env
from helpers.images import SUFFIXES, ImageError, result_suffix, why_not

# helpers.inference and helpers.weights are imported late: they load TensorFlow, which takes seconds
# and is not needed to say that an argument is wrong.


def find_images(source, out):
    """(images, problems) of a file or of a folder: sorted paths, and a sentence on each other one.

    Left out without a sentence are what is hidden, what is no picture, and the folder ``out``,
    which may lie inside ``source``.
    """
    if source.is_file():
        return [source], []
    found, problems = [], []

    def unreadable(error):
        problems.append(f"{error.filename}: cannot be read ({error.strerror}); check its rights.")

    for folder, folders, names in os.walk(source, onerror=unreadable):
        folder = Path(folder)
        folders[:] = [n for n in folders
                      if not n.startswith(".") and not _same(folder / n, out)]
        problems += [f"{folder / n}: a link to a folder, which is not followed; name it as IN."
                     for n in folders if (folder / n).is_symlink()]
        for path in (folder / name for name in names if not name.startswith(".")):
            if reason := why_not(path):
                problems.append(f"{path}: {reason}")
            elif path.suffix.lower() in SUFFIXES:
                found.append(path)
    return sorted(found), sorted(problems)


def _same(one, other):
    return os.path.realpath(one) == os.path.realpath(other)  # of a link in circles, too


def plan(source, out):
    """(pairs of paths (image, result), problems) of a file or of a folder's images.

    Results lie in ``out`` as the images lie in ``source``, under their names; a format that is not
    written becomes PNG. A problem is one sentence on an image that is not used: its kind is not
    read, or its result would overwrite another one or an image.
    """
    images, problems = find_images(source, out)
    originals = set(map(os.path.realpath, images))
    pairs, taken = [], {}
    # First those that keep their names, so that a.bmp does not take the place of a.png.
    for path in sorted(images, key=lambda path: (path.suffix != result_suffix(path), path)):
        target = out / (path.name if path == source else path.relative_to(source))
        target = target.with_suffix(result_suffix(path))
        other = taken.setdefault(os.path.normcase(target), path)
        if other != path:
            problems.append(f"{path}: its result would overwrite that of {other}; rename one.")
        elif os.path.realpath(target) in originals or target.is_dir():
            problems.append(f"{path}: its result would overwrite {target}; take another folder.")
        else:
            pairs.append((path, target))
    return pairs, problems


def dehaze_files(generator, pairs, strength=1.0):
    """Dehaze images into files, with a progress bar; returns (number made, problems).

    ``pairs`` are those of :func:`plan`. A problem is one sentence on an image, and the next one is
    tried; when a result cannot be written, that is the last one.
    """
    from helpers.inference import dehaze_file
    from helpers.weights import RunError, write_whole

    made, problems = 0, []
    for source, target in tqdm(pairs, unit="image"):
        try:
            content = dehaze_file(generator, source, target.suffix, strength)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content)
            made += 1
        except ImageError as error:
            problems.append(str(error))
        except (OSError, RunError) as error:
            return made, [*problems, _cannot_be_made(target.parent, error)]
        except Exception as error:  # whatever it is, the next photograph may be a good one
            reason = textwrap.shorten(f"{type(error).__name__}: {error}", 200)
            problems.append(f"{source}: could not be dehazed ({reason}); save it again as PNG.")
    return made, problems


def _cannot_be_made(folder, error):
    if not isinstance(error, OSError):
        return str(error)  # a sentence already
    return f"{folder}: cannot be made ({error.strerror}); name another folder for the results."


def generator_of(weights):
    """The generator of a weights file, or of the run or shipped weights of that name."""
    from helpers.weights import find_weights, load_generator

    file = Path(weights)
    named = file.suffix != ".safetensors" and not file.is_file()
    return load_generator(find_weights(weights) / "generator.safetensors" if named else file)


def _options(arguments):
    parser = argparse.ArgumentParser(
        description="Dehaze a photograph or a folder of them, with its subfolders, at full size.",
        epilog="Exit status: 0 all is done, 1 some pictures were not used, 2 wrong usage, 130 "
               "interrupted.",
    )
    parser.add_argument("source", metavar="IN", type=Path, help="an image file or a folder")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the results")
    parser.add_argument("--weights", default="improved", metavar="NAME_OR_FILE",
                        help="a run or shipped weights, or a .safetensors file (%(default)s)")
    parser.add_argument("--strength", type=float, default=1.0,
                        help="0 changes nothing, 1 is the network's proposal, 2 the most")
    parser.add_argument("--again", action="store_true", help="also what is in OUT already")
    options = parser.parse_args(arguments)
    source, out = options.source, options.out
    problem = None
    if not source.is_file() and not source.is_dir():
        problem = f"{source}: no such file or folder; check the path."
    elif _same(source, out):
        problem = f"{out}: the results would overwrite the photographs; name another folder."
    elif out.exists() and not out.is_dir():
        problem = f"{out}: a file; name a folder for the results."
    elif options.weights.endswith(".safetensors") and not Path(options.weights).is_file():
        problem = f"{options.weights}: no such file; check the path."
    elif not 0 <= options.strength <= 2:
        problem = f"--strength {options.strength}: it goes from 0 to 2."
    if problem:
        raise env.Told(problem)
    return options


@env.command
def main(arguments=None):
    """The command line (see ``--help``); returns the exit status."""
    options = _options(arguments)
    pairs, problems = plan(options.source, options.out)
    if not pairs and not problems:
        raise env.Told(f"{options.source}: no images in it; put .jpg or .png files there.")
    missing = [pair for pair in pairs if options.again or not pair[1].exists()]
    made = 0
    if missing:
        try:
            options.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise env.Told(_cannot_be_made(options.out, error)) from None
        env.import_tensorflow()
        made, more = dehaze_files(generator_of(options.weights), missing, options.strength)
        problems += more
    said = f"{made} of {len(missing)} images dehazed" if missing else "no image was missing"
    if there := len(pairs) - len(missing):
        said += f", {there} were there already (--again does them anew)"
    if problems:
        said += f"; {len(problems)} not used"
    print(f"{said}.")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
