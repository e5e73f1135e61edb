"""Numbers that the compiled functions share with the layers above, in a module that loads no compiler."""

LEAKY_SLOPE = 0.01  # of leaky_relu, for x < 0
