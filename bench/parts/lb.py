"""The load balancer's program alone, by test-run (lb_packets.cc)."""

import json

from parts import report
from parts.system import call

LIMITS = {1: 90, 10000: 190, 500000: 250}  # ns; of packets of known flows
NOISY = 0.2  # quartile to quartile
SIDES = {"pod": "pod to ClusterIP", "outside": "outside to LoadBalancer",
         "xdp": "outside to another node, XDP"}


def measure(tools, rounds):
    return [json.loads(line) for line in call(tools / "lb_packets", rounds).splitlines()]


def table(rows):
    shares = sorted({row["syn_percent"] for row in rows})
    lines = [f"{'ns a packet':40}" + "".join(f"{f'{share} % SYN':>12}" for share in shares)]
    for side, title in SIDES.items():
        for flows in LIMITS:
            found = {row["syn_percent"]: row["ns"] for row in rows
                     if row["side"] == side and row["flows"] == flows}
            lines.append(f"  {f'{title}, {flows:,} flows':38}"
                         + "".join(f"{found[share]:12.0f}" for share in shares if share in found))
    return lines + [""]


def targets(rows):
    out = []
    for row in rows:
        if row["syn_percent"]:
            continue
        changes = (row["high"] - row["low"]) / row["ns"]
        out.append(report.target(f"packet, {SIDES[row['side']]}, {row['flows']:,} flows",
                                 row["ns"], LIMITS[row["flows"]], unit=" ns",
                                 noise=f"varies by {changes:.0%}" if changes > NOISY else ""))
    return out
