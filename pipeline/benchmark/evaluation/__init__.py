"""The figures that papers print of a voice, measured with any weights: what `jobs.evaluate` does."""
