"""Each program of the packet path alone, by test-run (packet_ns.cc)."""

import json

from parts.system import call

PACKETS = {"known": "of a known connection", "first": "first of a connection"}


def measure(tools, rounds):
    return [json.loads(line) for line in call(tools / "packet_ns", rounds).splitlines()]


def table(rows):
    counts = sorted({row["connections"] for row in rows})
    lines = []
    for packet, title in PACKETS.items():
        lines.append(f"{f'ns a packet {title}':46}"
                     + "".join(f"{f'{count:,} there':>18}" for count in counts))
        for way in dict.fromkeys(row["way"] for row in rows if row["packet"] == packet):
            found = {row["connections"]: row["ns"] for row in rows
                     if (row["way"], row["packet"]) == (way, packet)}
            lines.append(f"  {way:44}" + "".join(f"{found[count]:18.0f}" for count in counts))
        lines.append("")
    return lines
