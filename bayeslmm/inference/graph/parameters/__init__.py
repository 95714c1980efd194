"""A family's parameters in a graph.

- ``of_family``: one number, several, or a predictor of each row
- ``thresholds``: of ordered categories, with the sticks that are drawn
"""
