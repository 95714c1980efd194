"""Model files: a TOML description of a study in, a `ModelSpec` out.

- ``model_spec``: `ModelSpec`, `read_spec`
- ``study_plan``: the [study] table: other priors to look at the conclusions under
- ``data``: the [data] table: bundled, a file, or simulated
- ``known_files``: the [known] table: covariances of levels, in files
- ``guesses``: what a table's columns may be to a model: response, groups, a predictor
- ``new_file``: a model file to start from, for a data file at hand
- ``toml_file``: text checked key by key, errors with their line
"""
