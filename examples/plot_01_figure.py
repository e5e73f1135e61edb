"""
The headline figure
===================

tbd
"""
import fastlazy
fastlazy.identity_target(3)
