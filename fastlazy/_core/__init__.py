"""The compiled layer: numba and numpy only.

The contract of every function here:

- arrays come C-contiguous, float32 or float64, all of one dtype, with the shapes its docstring states;
- nothing is checked, printed, allocated for the caller or decided: results are written in place, and
  the arrays that are written stand last in the signature;
- compiled functions release the interpreter's lock and keep no state, so threads may call them side
  by side on arrays of their own;
- the result does not depend on how many threads share the work.

The public layer checks, allocates, calls and returns.
"""
