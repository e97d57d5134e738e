"""Measures how long it takes to pair 100,000 files (make bench does it).

    python scripts/maintain/bench_pairs.py

The files are empty and have the names of RESIDE, which has the largest public sets; no picture is
read. Promised are 5 s and 500 MB at most.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from helpers.pairs import find_pairs

SECONDS, MEGABYTES = 5, 500
SCENES, VERSIONS = 10_000, 9  # a clear file and nine hazy ones each: 100,000 files


def write_names(folder):
    """Empty files hazy/<scene>_<version>_0.9.png and clear/<scene>.png."""
    for side in ("hazy", "clear"):
        (folder / side).mkdir()
    for scene in range(SCENES):
        (folder / "clear" / f"{scene}.png").touch()
        for version in range(1, VERSIONS + 1):
            (folder / "hazy" / f"{scene}_{version}_0.9.png").touch()


def peak_memory():
    """Peak of this process's resident memory in MB (10^6 bytes); 0 on Windows, which has none."""
    try:
        import resource
    except ImportError:
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def main():
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as name:
        write_names(Path(name))
        start = time.perf_counter()
        pairs = find_pairs(name)
        seconds = time.perf_counter() - start
    memory = peak_memory()
    kept = "kept" if seconds <= SECONDS and memory <= MEGABYTES else "NOT kept"
    print(f"{SCENES * (VERSIONS + 1):,} files, {len(pairs):,} pairs: {seconds:.1f} s and "
          f"{memory:.0f} MB; promised are {SECONDS} s and {MEGABYTES} MB: {kept}.")


if __name__ == "__main__":
    main()
