"""Cards of the notebooks: picture, question and answer, taken from the notebooks themselves."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# The picture that tells most, where that is not a notebook's first.
PICTURES = {"01_first_analysis": 1, "09_nails": 2, "16_zeros": 1}


def write(folder: Path) -> None:
    """Write ``gallery.md`` and its pictures into the folder of the notebooks."""
    cards = "\n".join(_card(path) for path in sorted(folder.glob("*.ipynb")))
    text = f"::::{{grid}} 1 1 2 2\n:gutter: 3\n\n{cards}\n::::\n"
    (folder / "gallery.md").write_text(text, "utf-8")


def _card(path: Path) -> str:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    first, last = ("".join(cells[k]["source"]) for k in (0, -1))
    title = re.search(r"^# (.+)$", first, flags=re.M)
    question = re.search(r"\*\*(.+?)\*\*", first, flags=re.S)
    answer = last.partition("**Answer.**")[2].strip().split("\n\n")[0]
    pictures = [picture for cell in cells for picture in _pictures(cell)]
    if not (title and question and answer and pictures):
        msg = f"{path.name}: a notebook has a title, a bold question, an answer and a picture."
        raise ValueError(msg)
    image = path.with_suffix(".png")
    image.write_bytes(base64.b64decode(pictures[PICTURES.get(path.stem, 0)]))
    return "\n".join(
        [
            f":::{{grid-item-card}} {title[1]}",
            f":link: /notebooks/{path.stem}",
            ":link-type: doc",
            f":img-top: /notebooks/{image.name}",
            ":class-card: notebook-card",
            "",
            f"**{' '.join(question[1].split())}**",
            "",
            " ".join(answer.split()),
            ":::",
            "",
        ]
    )


def _pictures(cell: dict[str, Any]) -> list[str]:
    outputs = (output.get("data", {}) for output in cell.get("outputs", []))
    return ["".join(data["image/png"]) for data in outputs if "image/png" in data]
