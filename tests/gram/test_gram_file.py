"""Grams in files, merged between sites, and what they disclose."""

import json

import numpy as np
import pytest

import bayeslmm as bl
from bayeslmm.gram.file import encode_header, to_arrays, write_arrays

FORMULA = "y ~ center(x) + (x | g) + (1 | h)"


def rows(seed=0, n=120, labels="abcdefgh"):
    rng = np.random.default_rng(seed)
    x, h = rng.normal(5, 2, n), rng.integers(0, 5, n)
    g = rng.choice(np.array(list(labels), dtype=object), n)
    effects = np.random.default_rng(9).normal(0, 3, size=(3, 128))  # of a letter, wherever it is
    letter = np.array([ord(label) for label in g])
    y = effects[0, letter] + effects[1, letter] * x + effects[2, h] + rng.normal(size=n)
    return {"x": x, "g": g, "h": h, "y": y, "w": rng.uniform(1, 2, n)}


@pytest.fixture
def gram():
    return bl.gram_from_batches(FORMULA, [rows()], weights="w", progressbar=False)


def test_a_saved_gram_comes_back_to_the_last_bit(gram, tmp_path):
    gram.save(tmp_path / "site")
    back = bl.Gram.load(tmp_path / "site")
    for name, array in to_arrays(gram).items():
        np.testing.assert_array_equal(to_arrays(back)[name], array)
    assert back.state == gram.state
    assert back.scales.to_dict() == gram.scales.to_dict()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_models_without_fixed_effects_or_factors_are_saved_too(tmp_path):
    for formula in ("y ~ 0 + (1 | g)", "y ~ x"):
        gram = bl.gram_from_batches(formula, [rows()], progressbar=False)
        gram.save(tmp_path / "one.npz")
        back = bl.Gram.load(tmp_path / "one.npz")
        assert (back.coef, back.n) == (gram.coef, 120)
        np.testing.assert_array_equal(back.cross, gram.cross)


def test_nothing_is_unpickled(gram, tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(bl.DataError, match="no npz file, or a damaged one"):
        bl.Gram.load(path)


def damaged(gram, change):
    arrays = to_arrays(gram)
    header = json.loads(arrays["header"].tobytes())
    change(arrays, header)
    return {**arrays, "header": encode_header(header)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays, header: header.update(version=99), "version 99, and this is version 1"),
        (lambda arrays, header: header.update(format="other"), "is a other file"),
        (lambda arrays, header: header.pop("coef"), "KeyError: 'coef'"),
        (lambda arrays, header: arrays.pop("cross"), "KeyError: 'cross'"),
        (lambda arrays, header: arrays.update(slope=np.ones(7)), r"slope has shape \(7,\)"),
        (lambda arrays, header: arrays.update(slope=np.full(2, np.nan)), "not finite"),
        (
            lambda arrays, header: arrays.update(pair_0_rows=arrays["pair_0_rows"] + 9),
            "levels that are not there",
        ),
    ],
)
def test_other_versions_and_incomplete_files_are_refused(gram, tmp_path, change, words):
    write_arrays(tmp_path / "site.npz", damaged(gram, change))
    with pytest.raises(bl.DataError, match=words):
        bl.Gram.load(tmp_path / "site.npz")


def test_damaged_and_missing_files_are_refused(gram, tmp_path):
    path = tmp_path / "site.npz"
    gram.save(path)
    whole = path.read_bytes()
    for broken in (whole[:-200], whole[:600] + b"\0\1\2" + whole[603:], b"", b"text"):
        path.write_bytes(broken)
        with pytest.raises(bl.DataError, match=r"site\.npz"):
            bl.Gram.load(path)
    with pytest.raises(bl.DataError, match="no file"):
        bl.Gram.load(tmp_path / "nowhere")
    with pytest.raises(bl.DataError, match="Cannot write"):
        gram.save(tmp_path / "no" / "folder")


def test_a_failed_write_leaves_the_old_file(gram, tmp_path, monkeypatch):
    path = tmp_path / "site.npz"
    gram.save(path)
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(bl.DataError, match="No space left"):
        gram.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["site.npz"]


def test_sites_with_other_levels_pool_to_the_fit_of_all_rows(tmp_path):
    formula = "y ~ x + (x | g) + (1 | h)"
    sites = [rows(1), rows(2, labels="cdefghij"), rows(3, labels="xyz")]
    for k, site in enumerate(sites):
        bl.gram_from_batches(formula, [site], progressbar=False).save(tmp_path / f"{k}.npz")
    first, *rest = (bl.Gram.load(tmp_path / f"{k}.npz") for k in range(3))
    pooled = sum(rest, start=first)
    together = {name: np.concatenate([site[name] for site in sites]) for name in sites[0]}
    design = bl.build_design(formula, together)
    assert pooled.state.levels == design.state.levels
    whole = bl.fit_reml(design)
    assert bl.fit_reml(formula, pooled).criterion == pytest.approx(whole.criterion, rel=1e-10)
    np.testing.assert_allclose(
        bl.describe_priors(formula, pooled)["q50"],
        bl.describe_priors(formula, together)["q50"],
        rtol=1e-10,
    )


def test_sites_that_coded_rows_differently_do_not_add():
    one = bl.gram_from_batches(FORMULA, [rows(1)], progressbar=False)
    other = bl.gram_from_batches(FORMULA, [rows(2)], progressbar=False)
    with pytest.raises(bl.DataError, match="transforms of their designs differ"):
        _ = one + other


def test_sites_share_a_coding_and_no_rows():
    sites = [rows(1), rows(2, labels="bcdefghk")]
    reading = bl.Reading.of(FORMULA, sites[0]) + bl.Reading.of(FORMULA, sites[1])
    coding = reading.settle()
    pooled = coding.finish(coding.gram(sites[0]) + coding.gram(sites[1]))
    together = {name: np.concatenate([site[name] for site in sites]) for name in sites[0]}
    whole = bl.fit_reml(FORMULA, together)
    assert bl.fit_reml(FORMULA, pooled).criterion == pytest.approx(whole.criterion, rel=1e-10)


def test_a_gram_says_what_it_discloses():
    data = rows()
    data["g"][:2] = ["lonely", "pair"]
    data["g"][2] = "pair"
    gram = bl.gram_from_batches("y ~ x + (1 | g)", [data], progressbar=False)
    found = gram.discloses()
    assert found.factors.loc["g"].to_dict() == {
        "levels": 10,
        "fewest_rows": 1,
        "single_rows": 1,
        "few_rows": 2,
    }
    text = str(found)
    for words in ("the very rows of 1 level", "smallest and largest value", "number of rows (120)"):
        assert words in text


def test_a_level_of_one_row_can_indeed_be_read():
    data = rows()
    data["g"][7] = "lonely"
    gram = bl.gram_from_batches("y ~ x + (1 | g)", [data], progressbar=False)
    factor = gram.factors[0]
    place = factor.levels.tolist().index("lonely")
    reference = factor.with_fixed[place, 0] / np.sqrt(factor.within[place, 0, 0])
    fixed = reference[:2] @ gram.scale
    y = reference[:2] @ gram.slope + reference[2]
    np.testing.assert_allclose([fixed[1], y], [data["x"][7], data["y"][7]], rtol=1e-12)
