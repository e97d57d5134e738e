"""How public data sets name their pairs: one table. A new one is one row more. Notebook 01."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """How a data set names its files: one row of the table.

    ``hazy`` and ``clear`` are folder names in small letters, alternatives separated by «|» («.» is
    the folder itself; what «*» stands for must be the same in both). ``hazy_stem`` and
    ``clear_stem`` are regular expressions on the whole stem, whose first groups must be equal in a
    pair, and name the scene. ``example`` is a hazy file and its clear one; ``cut`` as in
    :class:`helpers.pairs.Pair`, or "half".
    """

    name: str
    example: tuple
    hazy: str
    clear: str
    hazy_stem: str = "(.+)"
    clear_stem: str = "(.+)"
    cut: str = ""


HAZY, CLEAR = "hazy|haze|in|input", "clear|clean|gt|target"
# Of rows that give the same pairs the first is named, so the special ones stand above the general.
LAYOUTS = [
    Layout("RESIDE ITS", ("hazy/1_1_0.90179.png", "clear/1.png"),
           HAZY, CLEAR, r"(\d+)_\d+_\d*\.\d+"),
    Layout("RESIDE OTS", ("hazy/0005_0.8_0.04.jpg", "clear/0005.jpg"),
           HAZY, "clear|clean", r"(\d{4})_[\d.]+_[\d.]+"),
    Layout("SOTS indoor", ("hazy/1400_1.png", "gt/1400.png"),
           HAZY, CLEAR, r"(\d{4})_\d+", cut="centre"),
    Layout("SOTS outdoor", ("hazy/0001_0.8_0.2.jpg", "gt/0001.png"),
           HAZY, "gt", r"(\d{4})_[\d.]+_[\d.]+"),
    Layout("Haze4K", ("hazy/1_0.68_0.66.png", "clear/1.png"),
           HAZY, CLEAR, r"(\d+)_[\d.]+_[\d.]+"),
    Layout("O-HAZE", ("hazy/01_outdoor_hazy.jpg", "GT/01_outdoor_GT.jpg"),
           HAZY, CLEAR, r"(\d+_outdoor)_hazy", r"(\d+_outdoor)_gt"),
    Layout("I-HAZE", ("hazy/01_indoor_hazy.jpg", "GT/01_indoor_GT.jpg"),
           HAZY, CLEAR, r"(\d+_indoor)_hazy", r"(\d+_indoor)_gt"),
    Layout("NH-HAZE", ("01_hazy.png", "01_GT.png"), ".", ".", "(.+)_hazy", "(.+)_gt"),
    Layout("Dense-Haze, or NH-HAZE in two folders", ("hazy/01_hazy.png", "GT/01_GT.png"),
           HAZY, CLEAR, "(.+)_hazy", "(.+)_gt"),
    Layout("NH-HAZE2", ("Train_Hazy/01.png", "Train_HazeFree/01.png"), "*_hazy", "*_hazefree"),
    Layout("A and B folders", ("A/0001.jpg", "B/0001.jpg"), "a", "b"),
    Layout("IN and GT folders", ("IN/0001.png", "GT/0001.png"), "in", "gt"),
    Layout("RESIDE-6K", ("train/hazy/0001.jpg", "train/GT/0001.jpg"), "hazy", "gt"),
    Layout("same names", ("hazy/tower.jpg", "clear/tower.png"), HAZY, CLEAR),
    Layout("scene, airlight, beta", ("hazy/tower_0.9_1.2.jpg", "clear/tower.jpg"),
           HAZY, CLEAR, r"(.+)_[\d.]+_[\d.]+"),
]
# Any folder of images looks like this one: it is tried when no row above fits.
SIDE_BY_SIDE = Layout("side by side", ("train/0001.jpg", "the same file"), ".", ".", cut="half")


def layout_table():
    """The layouts that :func:`helpers.pairs.find_pairs` knows, as a Markdown table. Notebook 01."""
    notes = {"centre": "a larger clear image is cut in the centre",
             "half": "one file, hazy half on the left"}
    rows = [(row.name, *(f"`{name}`" for name in row.example), notes.get(row.cut, ""))
            for row in [*LAYOUTS, SIDE_BY_SIDE]]
    head = ("names as in", "hazy", "clear", "note"), ("---",) * 4
    return "\n".join("| " + " | ".join(row) + " |" for row in [*head, *rows])
