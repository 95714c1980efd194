"""Strata of the residuals' scale in cross-products: summed over batches, added, kept, disclosed."""

import json
from dataclasses import replace

import numpy as np
import pytest
from batches import assert_same_bits, assert_same_sums, cut, sent, table
from engine_tables import ENGINES, held_by

import bayeslmm as bl
from bayeslmm.design.build import build_design
from bayeslmm.gram.check import check_gram
from bayeslmm.gram.file import encode_header, to_arrays, write_arrays
from bayeslmm.gram.gram import Gram
from bayeslmm.gram.gram_design import GramDesign
from bayeslmm.gram.strata import MOST_STRATA, laid_out_as
from bayeslmm.gram.streaming.first_pass import Reading
from bayeslmm.gram.streaming.from_batches import gram_from_batches
from bayeslmm.gram.streaming.from_table import gram_from_table
from bayeslmm.gram.structured.structured_gram import StructuredGram
from bayeslmm.model.residual.interpolation import products_of
from bayeslmm.model.residual.of_design import structured_residuals

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet:FutureWarning")

FORMULA = "y ~ x * f + z + (x | g) + (1 | h)"
SAID = [
    {"sigma": "~ 0 + f"},
    {"sigma": "~ f + b"},
    {"sigma": "~ center(k)"},
    {"se": "w"},
]
# Sums of some thousand products in another order, relative to the block's largest.
ROUNDING = 1e-12


def rows(n=3000):
    data = table(n)
    return data.assign(k=np.arange(n) % 4)


def streamed(formula, batches, **said):
    return gram_from_batches(formula, batches, progressbar=False, **said)


def of_rows(design):
    """The bases of a design's rows, summed by pairs of rows as structures are."""
    structure = structured_residuals(design.residual)
    return structure, StructuredGram.from_design(design, structure.records())


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=0, atol=ROUNDING * np.abs(wanted).max())


@pytest.mark.parametrize("said", SAID)
def test_strata_of_batches_are_the_bases_of_the_whole_table(said):
    data = rows()
    gram = streamed(FORMULA, cut(data, 5, 5, 1000, 1001), **said)
    design = build_design(FORMULA, data, **said)
    structure, wanted = of_rows(design)
    summed = GramDesign.of(FORMULA, gram)
    own = structured_residuals(summed.residual)
    assert own.name == structure.name
    assert [e.name for e in own.entries] == [e.name for e in structure.entries]
    found = products_of(summed, own)
    phi = np.linspace(0.5, 1.5, structure.size)[None]
    mine, theirs = own.coefficients(phi), structure.coefficients(phi)
    np.testing.assert_allclose(mine[1], theirs[1], rtol=ROUNDING)
    np.testing.assert_allclose(own.mean_variance(phi), structure.mean_variance(phi), rtol=ROUNDING)
    # In the coordinates of the one that was summed at once.
    turned = found.at(phi[0])
    expected = wanted.gram_of(wanted.floats(theirs[0][0], float(theirs[1][0])))
    assert_same_sums(turned, expected)


@pytest.mark.parametrize("said", SAID)
def test_strata_of_a_design_are_its_bases(said):
    design = build_design(FORMULA, rows(400), **said)
    _, wanted = of_rows(design)
    gram = Gram.from_design(design)
    summed = GramDesign.of(FORMULA, gram)
    found = products_of(summed, structured_residuals(summed.residual)).gram
    close(found.bodies, wanted.bodies)
    assert gram.strata.known == ("se" in said)
    plain = Gram.from_design(design, strata=False)
    assert plain.strata is None
    assert_same_bits(replace(gram, strata=None), plain)


def test_strata_add_in_any_order_and_travel_between_processes():
    data = rows(600).sort_values("f")  # most batches lack some stratum
    batches = cut(data, 150, 290, 300, 450)
    said = {"sigma": "~ 0 + f"}
    readings = [sent(Reading.of(FORMULA, batch, **said)) for batch in batches]
    whole = readings[0]
    for reading in readings[1:]:
        whole = whole + reading
    assert Reading.from_json(whole.to_json()).to_json() == whole.to_json()
    coding = sent(whole.settle())
    coding = type(coding).from_json(coding.to_json())
    parts = [sent(coding.gram(batch)) for batch in batches]
    parts.insert(2, coding.empty())
    forth, back = parts[0], parts[-1]
    for part in parts[1:]:
        forth = forth + part
    for part in parts[-2::-1]:
        back = back + part
    grams = [coding.finish(gram) for gram in (forth, back)]
    bodies = [
        products_of(design, structured_residuals(design.residual)).at(np.array([0.5, 1.0, 2.0]))
        for design in (GramDesign.of(FORMULA, gram) for gram in grams)
    ]
    assert_same_sums(bodies[0], bodies[1])
    assert [part.n for part in grams[0].strata.grams] == [part.n for part in grams[1].strata.grams]
    assert sum(part.n for part in grams[0].strata.grams) == 600


def test_one_pass_does_where_levels_are_given():
    data = rows(500)
    levels = {"g": range(50), "h": list("uvwxyz"), "f": list("abc")}
    once = streamed(FORMULA, iter(cut(data, 250)), levels=levels, sigma="~ 0 + f")
    twice = streamed(FORMULA, cut(data, 250), sigma="~ 0 + f")
    close(once.strata.grams[1].cross, twice.strata.grams[1].cross)
    with pytest.raises(bl.DataError, match="levels= leaves out 'b'"):
        streamed(FORMULA, iter(cut(data, 250)), levels=levels, sigma="~ b")
    with pytest.raises(bl.ArgumentError, match="read once only, and the levels and what center"):
        streamed("y ~ x", iter(cut(data, 250)), sigma="~ center(k)")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_sums_strata(engine, request, tmp_path):
    data = rows(300)[["y", "x", "f", "g", "w"]].astype({"g": str})
    held = held_by(engine, data, request, tmp_path)
    for said in ({"sigma": "~ 0 + f"}, {"se": "w"}):
        gram = gram_from_table("y ~ x + (1 | g)", held, **said)
        wanted = Gram.from_design(build_design("y ~ x + (1 | g)", data, **said))
        assert gram.strata.names == wanted.strata.names
        for mine, theirs in zip(gram.strata.grams, wanted.strata.grams, strict=True):
            close(laid_out_as(wanted, mine).cross, theirs.cross)
        assert gram.strata.sum_of_variances == pytest.approx(wanted.strata.sum_of_variances)


def test_rows_without_a_standard_error_are_dropped_or_named():
    data = rows(300)
    data.loc[data.index[7], "w"] = np.nan
    with pytest.warns(bl.DataWarning, match="Dropped 1 of 300 rows for missing values: se 1"):
        gram = streamed("y ~ x + (1 | g)", cut(data, 100), se="w")
    assert (gram.n, gram.state.se) == (299, "w")
    data.loc[data.index[150], "w"] = -1.0
    with pytest.raises(bl.DataError, match=r"In batch 1.*Standard errors \(se\) are positive"):
        streamed("y ~ x + (1 | g)", cut(data, 100), se="w", missing="drop")


def test_a_killed_sum_of_strata_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("bayeslmm.gram.streaming.checkpoint.INTERVAL", 0.0)
    monkeypatch.setattr("bayeslmm.gram.streaming.checkpoint.LEAST_SHARE", 0.0)
    data, path, formula = rows(300), tmp_path / "part.npz", "y ~ x + (1 | g)"
    batches = cut(data, 100, 200)

    class StopError(Exception):
        pass

    def interrupted():
        yield from batches
        if next(passes):
            raise StopError

    for said in ({"sigma": "~ f"}, {"se": "w"}):
        passes = iter([0, 1])  # in the second pass
        with pytest.raises(StopError):
            streamed(formula, interrupted, checkpoint=path, cores=1, **said)
        other = {"sigma": "~ 0 + f"} if "sigma" in said else {"se": "z"}
        with pytest.raises(bl.DataError, match=f"another sum: its {next(iter(said))} is"):
            streamed(formula, batches, checkpoint=path, **other)
        resumed = streamed(formula, batches, checkpoint=path, **said)
        assert not path.exists()
        assert_same_bits(resumed, streamed(formula, batches, **said))


@pytest.mark.parametrize("said", SAID)
def test_a_file_gives_the_strata_back_to_the_last_bit(tmp_path, said):
    gram = streamed(FORMULA, cut(rows(400), 100), **said)
    gram.save(tmp_path / "g.npz")
    back = Gram.load(tmp_path / "g.npz")
    assert_same_bits(back, gram)
    assert back.strata.names == gram.strata.names
    assert (back.strata.cells == gram.strata.cells).all()
    assert back.strata.sum_of_variances == gram.strata.sum_of_variances
    assert [part.n for part in back.strata.grams] == [part.n for part in gram.strata.grams]
    assert (back + gram).n == 800


@pytest.fixture(scope="module")
def gram():
    return streamed("y ~ x + (x | g) + (1 | h)", [rows(300)], sigma="~ 0 + f")


def refused(path, arrays, words, **changed):
    header = json.loads(arrays["header"].tobytes())
    header["strata"] |= changed
    write_arrays(path, {**arrays, "header": encode_header(header)})
    with pytest.raises(bl.DataError, match=words):
        Gram.load(path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("strata_cells", lambda a: a[[0, 0, 1]], "a stratum twice"),
        ("strata_cells", lambda a: a[:2], r"strata_cells has shape \(2, 3\)"),
        ("strata_cells", lambda a: np.where(a > 0, np.nan, a), "not finite"),
        ("strata_cells", lambda a: a.astype(np.float32), "float32 and not float64"),
        ("stratum_1_cross", lambda a: 2.0 * a, "do not add up to those of all rows"),
        ("stratum_1_cross", lambda a: -a, "not positive semidefinite"),
        ("stratum_0_factor_0_within", lambda a: 1.01 * a, "do not add up"),
        ("stratum_0_factor_0_levels", lambda a: np.char.add(a, "?"), "whole Gram"),
        ("stratum_0_factor_0_counts", lambda a: a[::-1].copy(), "other rows of factor_0|whole"),
        ("stratum_2_pair_0_values", lambda a: 0.9 * a, "do not add up|semidefinite"),
        ("stratum_2_pair_0_rows", lambda a: a[::-1].copy(), "not in order"),
        ("stratum_0_scale", np.zeros_like, "cannot be inverted"),
        ("stratum_0_slope", lambda a: a[:1], "shape"),
    ],
)
def test_arrays_that_are_no_strata_are_refused_by_their_name(gram, tmp_path, name, change, words):
    arrays = to_arrays(gram)
    refused(tmp_path / "g", {**arrays, name: change(arrays[name])}, words)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"count": 10**9}, "not 1 to 100"),
        ({"count": True}, "not 1 to 100"),
        ({"count": 0}, "not 1 to 100"),
        ({"count": 2}, r"strata_cells has shape"),
        ({"count": 4}, "no header"),
        ({"names": ["a", "a", "b"]}, "names of sigma's columns are not distinct"),
        ({"names": []}, "shape"),
        ({"names": 3}, "whole Gram"),
        ({"sum_of_variances": 7.0}, "no standard errors are known"),
        ({"sum_of_variances": None}, "whole Gram"),
    ],
)
def test_a_header_of_strata_that_contradicts_itself_is_refused(gram, tmp_path, changed, words):
    refused(tmp_path / "g", to_arrays(gram), words, **changed)


def test_known_errors_of_no_rows_are_refused(tmp_path):
    arrays = to_arrays(streamed("y ~ x + (1 | g)", [rows(300)], se="w"))
    for value in (1.0, -1.0, float("inf")):
        words = "which no standard errors give"
        refused(tmp_path / "g", arrays, words, sum_of_variances=value)


def test_strata_inside_strata_and_other_rows_are_refused(gram):
    strata = gram.strata
    part = strata.grams[0]
    for wrong, words in (
        (replace(part, strata=strata), "no part of a sum"),
        (replace(part, coef=("Intercept", "z")), "other columns"),
    ):
        broken = replace(gram, strata=replace(strata, grams=(wrong, *strata.grams[1:])))
        with pytest.raises(ValueError, match=words):
            check_gram(broken)
    with pytest.raises(ValueError, match="strata have other rows than the whole"):
        check_gram(replace(gram, strata=replace(strata, cells=strata.cells[:2],
                                                grams=strata.grams[:2])))  # fmt: skip


def test_grams_that_differ_in_what_is_said_of_residuals_do_not_add():
    data = rows(200)
    formula = "y ~ x + (1 | g)"
    plain, by_f, by_b, known = (
        replace(streamed(formula, [data], **said), state=None)
        for said in ({}, {"sigma": "~ 0 + f"}, {"sigma": "~ b"}, {"se": "w"})
    )
    with pytest.raises(bl.DataError, match="one has strata of the residuals' scale"):
        _ = plain + by_f
    for one, other in ((by_f, by_b), (by_f, known)):
        with pytest.raises(bl.DataError, match="differ in the columns of sigma's formula"):
            _ = one + other
    respelt = [streamed(formula, [data], sigma=text) for text in ("~ f", "sigma ~ 1 + f")]
    assert (respelt[0] + respelt[1]).n == 400


def test_what_cross_products_cannot_hold_is_refused_with_the_way_out():
    data = rows(300)
    batches = cut(data, 100)
    formula = "y ~ x + (1 | g)"
    with pytest.raises(bl.ArgumentError, match=r"sigma= beside se= .* read the rows into a table"):
        streamed(formula, batches, sigma="~ 1", se="w")
    with pytest.raises(bl.ArgumentError, match="give se as the name of a column, not as ndarray"):
        streamed(formula, batches, se=np.ones(300))
    with pytest.raises(bl.ArgumentError, match="weights= and sigma= both say"):
        streamed(formula, batches, sigma="~ f", weights="w")
    with pytest.raises(bl.DataError, match=rf"\(Intercept, z\) have more than {MOST_STRATA}"):
        streamed(formula, batches, sigma="~ z")
    several = [data[:90].assign(k=np.arange(90)), data[:90].assign(k=np.arange(90) + 90)]
    with pytest.raises(bl.DataError, match=f"more than {MOST_STRATA} different values"):
        streamed(formula, several, sigma="~ k")
    with pytest.raises(bl.FormulaError, match=r"no column 'ff'[\s\S]*~ 0 \+ ff"):
        streamed(formula, batches, sigma="~ 0 + ff")
    with pytest.raises(bl.DataError, match="'f' has one level only"):
        streamed(formula, [data.assign(f="a")], sigma="~ 0 + f")
    series = build_design(formula, data, residual="cs(1 | h)")
    for fit in (
        lambda: Gram.from_design(series),
        lambda: bl.fit_reml(formula, Gram.from_design(series, strata=False)),
    ):
        with pytest.raises(bl.ArgumentError, match=r"'cs\(1 \| h\)' correlates rows, .* a table"):
            fit()


def test_strata_are_judged_for_what_they_disclose():
    data = rows(90).assign(f=lambda t: np.where(t.index == 3, "d", t.f))
    gram = streamed("y ~ x + (1 | g)", [data], sigma="~ 0 + f")
    found = gram.discloses()
    told = "f[a] = 0, f[b] = 0, f[c] = 0, f[d] = 1"
    assert f"- stratum {told}: its very row, which is the only one" in str(found)
    assert "the same sums of the rows of each stratum of sigma, told by f[a], f[b]" in str(found)
    a = found.strata.loc["stratum f[a] = 1, f[b] = 0, f[c] = 0, f[d] = 0"].loc["g"]
    counts = data[data.f == "a"].groupby("g").size()
    assert (a["rows"], a["levels"]) == ((data.f == "a").sum(), len(counts))
    assert (a["single_rows"], a["few_rows"]) == ((counts == 1).sum(), (counts < 4).sum())
    assert "f[d] = 0, g: the very rows of" in str(found)
    known = streamed("y ~ x", [data], se="w").discloses()
    assert "each row divided by its standard error" in str(known)
    assert known.strata.empty
    fixed = streamed("y ~ x", [data], sigma="~ 0 + f").discloses()
    assert fixed.strata["rows"].tolist()[0] == 1
