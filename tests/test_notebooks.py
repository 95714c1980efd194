"""The notebooks run from top to bottom, ship a full run's output, and say what it says.

A hidden cell of each prints words of the text beside the values of the numbers in them; the tests
hold the words against the text, the values against the words, and new runs against the values.
"""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Enough for every cell to work and every table to fill; the shipped output has the full number.
FEW_DRAWS = "100"


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def executed(path, draws, folder, monkeypatch):
    monkeypatch.setenv("BAYESLMM_NOTEBOOK_DRAWS", draws)
    # The kernel is a process of its own: it must find this checkout, installed or not.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # Neither the user's IPython profile nor a message about debugging belongs in a test.
    monkeypatch.setenv("IPYTHONDIR", str(folder))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(path, as_version=4)
    # Ten minutes: compiling a model takes one on a busy machine, and a hung kernel must end.
    return NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources={"metadata": {"path": os.fspath(folder)}},
    ).execute()


def text_of(cells):
    """Join the cells' markdown into one line, for words that are broken over two."""
    return " ".join(" ".join(cell.source for cell in cells if cell.cell_type == "markdown").split())


def numbers_in(words):
    return re.findall(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?", words.replace("95 % interval", ""))


def stated_in(notebook):
    """Return words of the text and the values of their numbers, as the notebook printed them."""
    (cell,) = [cell for cell in code_cells(notebook) if cell.id.endswith("-stated")]
    (output,) = cell.outputs
    lines = [line.split(" <- ") for line in output.text.splitlines()]
    return {words: [float(value) for value in values.split()] for words, values in lines}


def half_unit(number):
    """Return half a unit of the last digit; a large round number is taken to be rounded to tens."""
    if "." in number:
        return 0.5 * 10.0 ** -len(number.split(".")[1])
    return 5.0 if number.endswith("0") and len(number) > 2 else 0.5


def half_width(values):
    """Return half the length of an interval stated as a point and two ends, else None."""
    if len(values) != 3 or not values[1] <= values[0] <= values[2]:
        return None
    return (values[2] - values[1]) / 2


def assert_points_alike(new, shipped):
    """Hold the point before each interval of a run with few draws against the shipped one.

    Its tolerance is 0.75 of the wider interval's half: one and a half posterior sds, where 400
    draws know a mean to a tenth. Ends of intervals and single numbers of few draws or few simulated
    tables are too noisy to be compared.
    """
    assert new.keys() == shipped.keys()
    for words, values in shipped.items():
        if half_width(values) is not None:
            width = max(half_width(values), half_width(new[words]))
            assert new[words][0] == pytest.approx(values[0], abs=0.75 * width), words


def assert_numbers_alike(new, shipped):
    """Hold every number of a full run against the shipped one.

    Chains part ways in the last bit between machines: an interval's end, from 4000 draws, is known
    to 0.05 to 0.1 posterior sds, of which a quarter of its half allows 0.5; an effective sample
    size for each evaluation to a tenth or so.
    """
    assert new.keys() == shipped.keys()
    for words, values in shipped.items():
        width = half_width(values)
        for value, again in zip(values, new[words], strict=True):
            tolerance = 0.3 * abs(value) if width is None else 0.25 * width
            assert again == pytest.approx(value, abs=tolerance), words


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_run_with_few_draws_says_what_the_shipped_one_says(path, tmp_path, monkeypatch):
    new = executed(path, FEW_DRAWS, tmp_path, monkeypatch)
    assert_points_alike(stated_in(new), stated_in(nbformat.read(path, as_version=4)))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_full_run_says_what_the_shipped_notebook_says(path, tmp_path, monkeypatch):
    new = executed(path, "1000", tmp_path, monkeypatch)
    assert_numbers_alike(stated_in(new), stated_in(nbformat.read(path, as_version=4)))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_numbers_of_a_text_are_those_that_the_notebook_computed(path):
    notebook = nbformat.read(path, as_version=4)
    text = text_of(notebook.cells)
    for words, values in stated_in(notebook).items():
        assert words in text, words
        numbers = numbers_in(words)
        assert len(numbers) == len(values) > 0, words
        for number, value in zip(numbers, values, strict=True):
            said = float(number.replace(",", ""))
            # One part in 1e9: what is printed in full is rounded once more by the comparison.
            assert abs(value - said) <= half_unit(number) + 1e-9, (words, number, value)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_number_of_an_answer_goes_unchecked(path):
    notebook = nbformat.read(path, as_version=4)
    answer = text_of(notebook.cells[-1:])
    assert "**Answer" in answer
    for words in stated_in(notebook):
        answer = answer.replace(words, "")
    assert numbers_in(re.sub(r"`[^`]*`|\$[^$]*\$", "", answer)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_shipped_with_the_output_of_one_clean_run(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any(output.output_type == "execute_result" for output in outputs)
    for output in outputs:
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text[:200]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_opens_with_a_question_and_ends_in_an_answer(path):
    notebook = nbformat.read(path, as_version=4)
    first, last = notebook.cells[0], notebook.cells[-1]
    assert first.cell_type == last.cell_type == "markdown"
    assert "?" in first.source
    assert "**Answer" in last.source
