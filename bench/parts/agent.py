"""What an agent costs: until it is ready, in memory, for the verifier."""

from parts import weir
from parts.stats import median

PODS = 110
SUBNETS = ["10.236.0.0/24", "fd00:236::/64"]


def cold_starts(system, tools, count, progress):
    """Seconds until ready, on nodes that were never Weir's; and the verifier's work."""
    times, instructions = [], {}
    for number in range(count):
        progress(f"agent, cold start {number + 1} of {count}")
        node = weir.Node(system, tools, f"cold{number}", SUBNETS)
        times.append(node.start()[0])
        instructions = instructions or node.verified_instructions()
        node.kill()
    return times, instructions


def with_pods(system, tools, restarts, progress):
    """A node of 110 pods: its agent's memory, and restarts after kill -9 that adopt all."""
    node = weir.Node(system, tools, "full", SUBNETS)
    node.start()
    progress(f"agent, {PODS} pods")
    for number in range(PODS):
        node.plugin.add(system.add_space(f"full-{number}"))
    memory = [node.rss_mb()]
    times, adopted = [], True
    for number in range(restarts):
        progress(f"agent, restart {number + 1} of {restarts}")
        node.kill()
        seconds, status = node.start()
        times.append(seconds)
        adopted = adopted and bool(status.get("adopted"))
        memory.append(node.rss_mb())
    endpoints = node.get("/v1/status").get("endpoints")
    node.kill()
    return {"adopt_ms": [round(one * 1e3, 1) for one in times], "adopted": adopted,
            "rss_mb": [round(one, 1) for one in memory], "endpoints": endpoints}


def measure(system, tools, repeats, progress):
    times, instructions = cold_starts(system, tools, repeats, progress)
    result = {"cold_ms": [round(one * 1e3, 1) for one in times],
              "verified_instructions": instructions}
    result.update(with_pods(system, tools, repeats, progress))
    result["cold_ms_median"] = median(result["cold_ms"])
    result["adopt_ms_median"] = median(result["adopt_ms"])
    return result
