"""Write the repository's address, which stands in pyproject.toml, wherever it is repeated.

    python scripts/maintain/stamp_repository.py

Badges and setup cells of the notebooks, CITATION.cff, and the texts. Run it after changing
[project.urls]; running it twice changes nothing.
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


def rules(address):
    """Pairs (pattern, replacement) for every place where our own address can stand.

    Addresses of other people's repositories, which the README cites, match none of them.
    """
    path = address.removeprefix(GITHUB)
    name = path.rsplit("/", 1)[1]
    return [
        (r"(colab\.research\.google\.com/github/)[^/\s]+/[^/\s]+(?=/blob/)", rf"\g<1>{path}"),
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
        for pattern, replacement in rules(address):
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
