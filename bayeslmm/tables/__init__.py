"""Where rows come from: any table, file or engine, one checked column at a time.

- ``column``: one column: numbers, booleans, or labels and their codes
- ``table``: any eager table or mapping of columns
- ``levels``: labels and combinations of labels, mergeable over batches
- ``sources``: what `data` is, decided once: in memory, batches, CSV files or an engine's
- ``batches``: rows in batches, cut and read in order
- ``datasets``: `list_datasets`, `load_dataset`: the bundled tables
- ``engines/``: tables that an engine holds, one file an engine
"""
