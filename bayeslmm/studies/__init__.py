"""A model under many priors, and studies described in files.

- ``study``: `prior_study`
- ``scenarios``: a mapping, schemes or a grid into named priors
- ``scenario_run``: one scenario: a refit, or draws reweighted
- ``files``: finished scenarios on disk
- ``summary``: `summarise_study`: how far conclusions move
- ``sources``: where the rows of a study come from
- ``simulated_table``: a table whose response is drawn from known parameters
- ``model_files/``: TOML descriptions of a study
"""
