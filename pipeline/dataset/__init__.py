"""A speech data set that grows every night: what is planned, judged and published around an ordinary run.

`night.py` composes a night; the others each do one step of it. May import all but benchmarks and commands; Ray and the
networks only through `run`.
"""
