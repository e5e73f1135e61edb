"""Many cells: what a cell is, how it is measured, where it runs, where its results are kept."""
