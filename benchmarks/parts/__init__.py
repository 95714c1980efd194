"""The parts of the benchmark suite; each returns tables that `suite.py` merges into the page."""
