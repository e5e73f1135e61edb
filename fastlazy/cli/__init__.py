"""The command ``fastlazy``: parse, call, print."""
