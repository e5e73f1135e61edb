"""The trained network: SGD on fresh samples and on a data set, where it starts, how lazy it is."""
