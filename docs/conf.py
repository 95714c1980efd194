"""Sphinx: `make docs`. The notebooks are shown as they are shipped, with their output."""

import shutil
from pathlib import Path

import bayeslmm

HERE = Path(__file__).parent

# Sphinx reads what is below its own folder only.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(
    HERE.parent / "notebooks", HERE / "notebooks", ignore=lambda *_: {".ipynb_checkpoints"}
)

project = "bayeslmm"
author = "The bayeslmm developers"
project_copyright = author
version = release = bayeslmm.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    # Formulas are drawn without a network too: MathJax comes with the pages.
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build"]

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's tables of parameters say it
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_merge_streams = True

html_theme = "pydata_sphinx_theme"
html_title = "bayeslmm"
html_theme_options = {
    "show_toc_level": 2,
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 6,
}
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["bayeslmm.css"]
# The header lists the pages; only the API has a long list below it. The others take the room.
html_sidebars = {page.stem: [] for page in HERE.glob("*.md") if page.stem != "api"}
html_sidebars |= {"notebooks/*": [], "decisions/*": []}
