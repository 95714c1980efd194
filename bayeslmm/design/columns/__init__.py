"""From a table's columns to those of matrices.

- ``evaluate``: calls evaluated on columns, without `eval`
- ``model_matrix``: numeric columns and their names, by formulaic
- ``memory``: what stateful transforms learnt, through JSON
"""
