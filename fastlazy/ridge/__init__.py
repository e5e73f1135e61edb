"""Ridge regression on the features of RF and NT, fitted to samples."""
