import matplotlib as mpl

# Before anything imports pyplot: tests draw into memory, on machines without a screen.
mpl.use("Agg")
