"""The long tests: harm done to real runs for as long as one likes. `python -m tests.soak --minutes 60`."""
