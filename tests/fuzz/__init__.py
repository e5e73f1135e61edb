"""A fuzzer of every public function: a seeded grammar of arguments, oracles, and a judge that counts classes.

``python -m tests.fuzz --calls 20000 --seed 0 --jobs 2`` runs it, ``python -m tests.fuzz --replay 0:123`` makes one
call again and prints it in full. A call depends on the seed and its index alone.
"""
