"""The small voice that comes with the package: its weights, its model card, and in `training` how it was made.

Nothing imports it: `weights` finds its files by their place.
"""
