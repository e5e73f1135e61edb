"""Non-linearities sigma and their Gaussian moments, of one row of weights and of pairs."""
