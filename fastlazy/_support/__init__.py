"""What every other folder may use: arguments checked, threads, files, errors of rounding; nothing of networks."""
