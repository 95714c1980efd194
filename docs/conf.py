"""Sphinx: `make docs`. Pages with code cells are run; notebooks are shown as they are shipped."""

import shutil
import sys
from pathlib import Path

import bayeslmm

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import gallery  # noqa: E402 -- these stand beside this file
import kernel  # noqa: E402

# Sphinx reads what is below its own folder only.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(
    HERE.parent / "notebooks", HERE / "notebooks", ignore=lambda *_: {".ipynb_checkpoints"}
)
gallery.write(HERE / "notebooks")

project = "bayeslmm"
author = "The bayeslmm developers"
project_copyright = author
version = release = bayeslmm.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",  # the source, without a network
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    # Formulas are drawn without a network too: MathJax comes with the pages.
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "notebooks/gallery.md"]
default_role = "py:obj"  # `fit_bayes` in a docstring is a link

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's tables of parameters say it
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
# A page of text and cells is run, and an error in it ends the build; notebooks have their output.
nb_execution_mode = "force"
nb_execution_excludepatterns = ["notebooks/*"]
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
kernel.prepare(HERE.parent)

html_theme = "pydata_sphinx_theme"
html_title = f"bayeslmm {version}"
html_theme_options = {
    "logo": {"text": "bayeslmm"},
    "show_toc_level": 2,
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 5,
    "footer_start": ["copyright", "version"],
    "footer_end": ["project-links"],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
}
templates_path = ["_templates"]
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["bayeslmm.css"]
# The header lists the pages; only the API has a long list below it. The others take the room.
html_sidebars = {page.stem: [] for page in HERE.glob("*.md") if page.stem != "api"}
html_sidebars |= {"notebooks/*": [], "decisions/*": []}
