"""Tables in, Axes out: the figures of the risks and of lazy training, and what they are drawn of."""
