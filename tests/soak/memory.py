"""A row that eats all memory, on a Ray whose monitor steps in early: `python -m tests.soak.memory`.

It needs a Ray of its own, as the monitor's threshold is a setting of the node.
"""

import os

import ray

from pipeline.errors import RejectionCode

ALLOWANCE_BYTES = 3_000_000_000


def used_memory():
    """Return (used, total) bytes of this machine."""
    with open("/proc/meminfo") as file:
        sizes = {line.split(":")[0]: 1_024 * int(line.split()[1]) for line in file}
    return sizes["MemTotal"] - sizes["MemAvailable"], sizes["MemTotal"]


def main():
    used, total = used_memory()
    os.environ["RAY_memory_usage_threshold"] = f"{(used + ALLOWANCE_BYTES) / total:.4f}"
    os.environ["RAY_memory_monitor_refresh_ms"] = "100"
    os.environ["RAY_worker_niceness"] = "0"
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    from tests.cluster.fake_stages import reported, run, units

    rows = reported(run(units(4), {"greedy": {6}}, llm_count=2))
    ray.shutdown()
    code, message = rows.pop(6)
    assert (code, message.endswith("for want of memory")) == (RejectionCode.REPLICA_CRASH, True), (code, message)
    assert len(rows) == 15 and all(code == "audio" for code, _ in rows.values()), rows
    print("memory: a row that ate 3 GB was found and rejected alone; Ray's monitor killed its replica each time")


if __name__ == "__main__":
    main()
