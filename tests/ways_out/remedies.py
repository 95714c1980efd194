"""What the package's messages advise, read from its syntax trees: arguments and functions."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import bayeslmm as bl

PACKAGE = Path(bl.__file__).parent
# An argument and its value; what is filled in reads {}. A function, by any dotted name.
_ARGUMENT = re.compile(
    r"(?<![\w.])([a-z_]\w*)=('[^']*'|\"[^\"]*\"|\{[^}]*\}+|\[[^\]]*\]|[\w.]*\w)?"
)
_FUNCTION = re.compile(r"(?<![\w.'])((?:\{\}\.)?(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)\(")


def _documentation(tree):
    """Docstrings, of attributes too: they advise nobody whose call has failed."""
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def _texts(tree):
    """Yield every text that may be part of a message, with what is filled in as {}."""
    skipped = _documentation(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values if isinstance(part, ast.Constant)}
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and id(node) not in skipped:
            yield str(node.value)


def named_in(text):
    """Return the remedies in one text, as ``argument=value`` and ``function()``."""
    if " " not in text:
        return set()
    arguments = {f"{name}={value}" for name, value in _ARGUMENT.findall(text)}
    return arguments | {f"{name}()" for name in _FUNCTION.findall(text)}


def collect(package=PACKAGE):
    """Return every remedy that a message names, with the files of those messages."""
    found = defaultdict(set)
    for path in sorted(package.rglob("*.py")):
        for text in _texts(ast.parse(path.read_text())):
            for remedy in named_in(text):
                found[remedy].add(path.relative_to(package).as_posix())
    return dict(found)


if __name__ == "__main__":
    for remedy, files in sorted(collect().items()):
        print(remedy, *sorted(files))  # noqa: T201 - to see what to register
