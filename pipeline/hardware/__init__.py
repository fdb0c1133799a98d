"""What both networks need of a CPU and of a GPU: packed products, devices, streams, and why a GPU cannot be used.

May import settings and errors only.
"""
