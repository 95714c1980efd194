"""Rows coded as y, X, Z_k and levels, and what it takes to code new rows.

- ``design``: `Design`: rows as numbers
- ``build``: `build_design`, `rebuild_design`: a formula and a table in, a `Design` out
- ``model_data``: `ModelData`: what a fit needs of its data, with rows or without
- ``rows``: which rows and columns of a table a formula uses
- ``beside/``: what is said of rows beside the columns of the formula
- ``response``: the response as numbers, as its family asks
- ``residual_checks``: what a fit must be for a residual structure, and what its rows tell
- ``stacked/``: several responses, or categories of one, as rows of one design
- ``residual_rows``: scale, group and time of each row's residual
- ``predictors``: `ParameterRows`: predictors of the family's parameters
- ``coding``: response, offset and columns from rows
- ``columns/``: calls, model matrices, and what transforms learnt
- ``grouping``: `GroupingFactor`: levels, each row's level, columns that vary
- ``rank/``: which columns are determined, and what dropped ones follow from
- ``factors/``: grouping factors from rows, with what their terms say of levels and columns
- ``scales``: location and spread of columns, mergeable over batches
- ``state``: `DesignState`: what coding new rows takes, through JSON
- ``smooths/``: penalised smooths in the form of a mixed model
- ``text``: what large values print of themselves
- ``fingerprint``: hash of what a fit sees
"""
