"""A run on Ray: the coordinator, the pools of replicas it feeds, the actors, and what supervises them.

The only place that imports Ray. May import everything but `books`, `run` and `repair`; nothing but `run`, `repair`,
`books` and the benchmark imports it.
"""
