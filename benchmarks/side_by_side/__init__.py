"""Each comparison in four files: the problem, how we solve it, how others do, and the rows of the report."""
