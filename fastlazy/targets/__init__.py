"""What is learned, and the weights to learn it with."""
