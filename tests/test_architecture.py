"""The package's shape: layers, forbidden imports, sizes, and what must not stand in any file."""

import ast
import graphlib
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bayeslmm"

# A module imports from its own layer and from lower ones; `errors` is open to all. What was split
# from a module stands behind it. A new module gets its place here; folders count as one.
LAYERS = {
    0: "errors, arrays, resources, version,"
    " formula tokens expressions grammar terms, covariance, datasets",
    1: "names, fingerprint, study_data simulated_table, partial_correlations settings,"
    "level_set,"
    "design design_state intake table grouping columns plan evaluation assembly identification,"
    "priors distributions prior_families lkj prior_defaults prior_schemes prior_set"
    " prior_description prior_slopes beta_prior data_scales,"
    "simulate, engines",
    2: "gram_blocks helper tree_layout, gram gram_sums gram_union gram_coordinates gram_file,"
    "gram_design,"
    "disclosure room limits,"
    "prior_description,"
    "level_combinations learning reading settled settled_levels,"
    "batches checkpoint streaming streaming_progress gram_table,"
    "elimination elimination_plan densities lapack compile_ahead compiled kernels kernel_solve"
    " kernel_gradient kernel_draws selected_inverse, collapsed linked linked_kernels kept_effects,"
    "reduced kernel_reduced kernel_shared shared_effects,"
    "surrogate surrogate_nodes surrogate_functions,"
    "marginal_likelihood, recovery, parametrization,"
    "collapsed_target collapsed_batch unconstrained kernel_target, proposal",
    3: "reml reml_search quasi_newton theta_order reml_fit reml_intervals,"
    "sd_coordinates, likelihood_ratio profile profile_targets mode, laplace reduced_target, graph",
    4: "sampling samplers nuts compilation compiled_target callback result running,"
    "importance direct_sampling sparing, tree refit,"
    "prior_draws prior_implications quantities,"
    "reweighting scenarios function_identity,"
    "predict linear_predictor level_grid new_levels contrasts, hypotheses,"
    "summaries summary_text effect_sizes variance_parts marginal_covariance shrinkage,"
    "gram_groups gram_moments row_likelihood,"
    "checks diagnostics draw_weights group_likelihood loo predictive_check no_pooling",
    5: "spec spec_data spec_file spec_study, fit, compare compare_effects comparison verdicts,"
    "sensitivity, prior_study study_scenario study_files study_summary,"
    "plots plot_style plots_caterpillar plots_levels plots_level_means plots_checks plots_shrinkage"
    " plots_prior plots_prior_posterior plots_sensitivity plots_study plots_variance"
    " plots_comparison",
    6: "warm, cli cli_console cli_results cli_compare cli_priors cli_study cli_pictures, __init__",
}
LAYER = {
    module: layer for layer, nouns in LAYERS.items() for module in nouns.replace(",", " ").split()
}

SAMPLERS = {"pymc", "pytensor", "nutpie", "pymc_extras"}
ARVIZ = {"arviz", "arviz_base", "arviz_stats", "arviz_plots"}
SAMPLING = {"fit", "sampling", "samplers", "compilation", "compiled_target", "callback", "graph"}

SOURCES = sorted(PACKAGE.rglob("*.py"))
CODE = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted(ROOT.glob("benchmarks/**/*.py"))]


def named(path):
    return str(path.relative_to(ROOT))


def module_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Absolute names of everything that a file imports, also for types only or inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{named(path)}:{node.lineno} imports relatively"
            # `from package import file` imports the file.
            folder = ROOT.joinpath(*node.module.split("."))
            for name in node.names:
                is_file = (folder / f"{name.name}.py").exists()
                yield f"{node.module}.{name.name}" if is_file else node.module


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_module_imports_nothing_from_above(path):
    module = module_of(path)
    assert module in LAYER, f"{module} has no place in LAYERS yet: give it one"
    if module == "__init__":
        return
    for imported in imports(path):
        top, _, rest = imported.partition(".")
        other = rest.split(".")[0]
        if top != "bayeslmm" or other not in LAYER:
            continue
        if other in ("errors", "__version__", module):
            continue
        assert LAYER[other] <= LAYER[module], (
            f"{module} (layer {LAYER[module]}) imports {other} (layer {LAYER[other]})"
        )


def test_no_files_import_each_other_in_a_circle():
    # Also for types only, and inside functions.
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
    edges = {
        module: {
            name
            for imported in imports(path)
            if (name := imported if imported in modules else imported + ".__init__") in modules
            and name not in (module, "bayeslmm.__init__")
        }
        for module, path in modules.items()
        if module != "bayeslmm.__init__"  # the public names, imported on first use
    }
    graphlib.TopologicalSorter(edges).prepare()


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_heavy_packages_stay_where_they_belong(path):
    # Summaries, predictions and pictures work from a tree alone: only what samples knows PyMC.
    module = module_of(path)
    roots = {name.partition(".")[0] for name in imports(path)}
    if LAYER[module] <= 3 and module != "graph":
        assert not roots & (SAMPLERS | ARVIZ)
    if module not in SAMPLING:
        assert not roots & SAMPLERS
    assert not roots & {"models", "notebooks", "tests", "benchmarks"}


@pytest.mark.parametrize("path", CODE, ids=named)
def test_files_and_functions_are_small_rooms(path):
    text = path.read_text()
    assert text.count("\n") < 400, "split it before the second topic moves in"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1 if ast.get_docstring(node) and len(node.body) > 1 else 0]
            # The docstring is a contract, not code; the signature counts.
            documented = first.lineno - node.body[0].lineno
            length = node.end_lineno - node.lineno + 1 - documented
            assert length <= 80, f"{node.name} has {length} lines"


def tracked_files():
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 -- whichever git there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files are the project's")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_holds_an_absolute_path_or_a_registry_address():
    # Assembled from parts, so that this file does not hold what it looks for.
    registries = ["pypi" + ".org", "python" + "hosted", "npm" + "js", "deb." + "debian"]
    homes = r"(?<![\w.])/(?:work|root|home|Users|tmp)/\w|[A-Z]:\\\\?Users"
    found = re.compile("|".join([*map(re.escape, registries), homes]))
    for path in tracked_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue  # pictures and compressed tables
        for number, line in enumerate(text.splitlines(), 1):
            assert not found.search(line), f"{named(path)}:{number}: {line.strip()[:120]}"
