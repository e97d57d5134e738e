"""Write the repository's address and version, as in pyproject.toml, wherever they are repeated.

    python scripts/maintain/stamp_repository.py

Badges and setup cells of the notebooks, CITATION.cff, and the texts. Run it after changing
[project.urls] or the version; running it twice changes nothing.
"""

import argparse
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GITHUB = "https://github.com/"


def repository(root=ROOT):
    """The address in ``pyproject.toml``."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def version(root=ROOT):
    """The tag of the version in ``pyproject.toml``: Colab opens and clones it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"v{project['version']}"


def rules(address, tag):
    """Pairs (pattern, replacement) for every place where our own address or version can stand.

    Addresses of other people's repositories, which the README cites, match none of them.
    """
    path = address.removeprefix(GITHUB)
    name = path.rsplit("/", 1)[1]
    return [
        (r"(colab\.research\.google\.com/github/)[^/\s]+/[^/\s]+/blob/[^/\s]+",
         rf"\g<1>{path}/blob/{tag}"),
        (r'(VERSION = \\?")[^"\\]+', rf"\g<1>{tag}"),
        (r"(?m)^(version: ).+$", rf"\g<1>{tag[1:]}"),
        (r'(REPOSITORY = \\?")[^"\\]+', rf"\g<1>{address}"),
        (r"(?m)^(repository-code: ).+$", rf"\g<1>{address}"),
        (r"(git clone (?:--\S+ )*)https://github\.com/\S+", rf"\g<1>{address}"),
        (r"(git clone \S+\s+(?:&& )?cd )\S+", rf"\g<1>{name}"),
    ]


def files(root=ROOT):
    """The files that may repeat the address."""
    texts = [*root.glob("*.md"), *root.glob("docs/*.md"), root / "CITATION.cff"]
    notebooks = [*root.glob("notebooks/*.ipynb"), *root.glob("notebooks/solutions/*.ipynb")]
    return sorted(texts + notebooks)


def stamp(root=ROOT, write=True):
    """Bring all files in line; returns those that were not."""
    address, changed = repository(root), []
    if not re.fullmatch(GITHUB + r"[\w.-]+/[\w.-]+", address):
        raise SystemExit(f"pyproject.toml: {address} is not of the form {GITHUB}owner/name.")
    for path in files(root):
        # Bytes, not text mode: line ends stay as they are on every system.
        old = path.read_bytes().decode("utf-8")
        new = old
        for pattern, replacement in rules(address, version(root)):
            new = re.sub(pattern, replacement, new)
        if new != old:
            changed.append(path)
            if write:
                path.write_bytes(new.encode("utf-8"))
    return changed


def main():
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    changed = stamp()
    for path in changed:
        print("stamped", path.relative_to(ROOT))
    print(f"{repository()}: {len(changed)} of {len(files())} files changed")


if __name__ == "__main__":
    main()
