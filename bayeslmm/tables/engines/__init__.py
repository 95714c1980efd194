"""Tables that an engine holds: named columns, and map and reduce over pieces of the rows.

- ``engine``: the protocol that every engine satisfies
- ``find``: `engine_of`: which engine holds a table, told without importing any
- ``tasks``: functions sent to workers; what they raise comes back as a value
- ``pieces``: small Arrow batches gathered to tables worth a call
- ``arrow_dataset``: pyarrow datasets, and files of Parquet or Arrow
- ``dask_frame``: Dask dataframes
- ``duckdb_relation``: DuckDB relations
- ``polars_lazy``: polars LazyFrames
- ``spark_frame``: Spark dataframes
"""
