"""What the user wrote: text into terms; no data.

- ``residual``: what is said of residuals beside a formula: their correlation, their sigma
- ``tokens``: a formula's text as tokens that remember where they stood
- ``nodes``: what a formula is parsed into
- ``grammar``: tokens into a tree, with R's precedences
- ``calls``: calls such as ``poly(x, 2)``, checked against a closed list
- ``expand``: a sum multiplied out into a `TermSet`
- ``smooth_terms``: `SmoothTerm`: `s(x)`
- ``random_terms``: `RandomTerm`: terms in bars, of the mean's formula and of sigma's
- ``predictor``: `PredictorTerms`: the formula of one of a family's parameters
- ``labels``: terms that share correlations, made one
- ``responses``: one text for each response of ``mvbind(y1, y2) ~ x`` or ``y1 ~ x; y2 ~ z``
- ``mixed_formula``: `parse_formula`, `MixedFormula`
- ``update``: a formula from another one, ``. ~ . + x``
- ``model_terms``: the terms of a formula, and the columns of a table that they read
"""
