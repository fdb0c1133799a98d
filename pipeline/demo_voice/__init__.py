"""The small voice that comes with the package: its weights, its model card, and in `training` how it was made."""
