"""The command line.

- ``app``: the commands and their options
- ``console``: what is printed: models, tables, warnings, errors
- ``layout``: sentences and tables in a terminal's width
- ``results_folder``: results folders, complete or not there
- ``new``: a model file to start from
- ``predict``: predictions of new rows from a results folder
- ``compare``: a posterior beside its REML fit
- ``prior_study``: a model file's prior study and its sensitivity
- ``pictures``: pictures of a study
"""
