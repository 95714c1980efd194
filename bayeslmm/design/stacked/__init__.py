"""Several responses, or the categories of one, as rows of one design.

A row of the wide table is an observation; each of its responses is a row of the stacked design,
whose columns are those of that response's own design, and zeros elsewhere.

- ``layout``: `Layout`: the responses' own states, and where their columns stand
- ``stack``: `Stack`: which response and which observation each row is of
- ``families``: a family, a link and trials for each response
- ``build``: `build_stack`: formulas and a wide table in, a `Design` out
- ``categories``: `build_categories`: one response of several categories, or counts of each
- ``any_kind``: which designs are stacked, and which of these two builds them
- ``assemble``: designs of single responses put together, row by row and block by block
- ``factors``: grouping factors put together, effects of one label correlated
- ``residuals``: residuals of an observation's responses, correlated or not
"""
