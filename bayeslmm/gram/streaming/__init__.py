"""Cross-products of rows that come in batches: a first pass fixes the coding, a second one sums.

- ``first_pass``: `Reading`: column types, levels and statistics of batches, mergeable
- ``fix_coding``: between the passes: the coding of rows from what was read
- ``second_pass``: the fixed coding, applied to every batch
- ``stateful_calls``: calls whose values depend on other rows
- ``from_batches``: `gram_from_batches`
- ``from_table``: `gram_from_table`, by the means of an engine
- ``checkpoint``: how far a sum has come, kept in a file
- ``progress``: rows per second while batches are read
"""
