"""Families whose rows have several predictors, or belong to several responses.

- ``softmax``: categories without an order, and counts of them
- ``stacked``: families of stacked rows, of several responses or categories
"""
