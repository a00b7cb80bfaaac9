"""BIG TCP: streams of pods whose links take packets of 192 KiB, beside links that take 64."""

import sys
from pathlib import Path

from parts import paths, report, two_nodes, weir
from parts.system import PREFIX, Failed

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/net"))
import lib_net  # noqa: E402

LEGACY, BIG = 65536, 196608
CONTROLS = ("cubic", "bbr")
NATIVE = ["--tunnel", "false"]
TITLES = {"raw": "raw veth pair, 64k", "raw_big": "raw veth pair, BIG TCP", "one": "Weir, one node, 64k",
          "one_big": "Weir, one node, BIG TCP", "apart": "Weir, two nodes, 64k",
          "apart_big": "Weir, two nodes, BIG TCP"}
PAIRS = (("one_big", "one"), ("apart_big", "apart"))
OVER_RAW = {"cubic": 1.4, "bbr": 2.5}


def raise_link(space):
    lib_net.set_gso_size(f"/run/netns/{space}", "eth0", BIG)


def one_node(name, number, system, tools, options, prepare=lambda space: None):
    subnets = [f"10.{number}.0.0/16", f"fd00:{number}::/64"]
    node_name = name.replace("_", "-")
    site = weir.alone(system, node_name, subnets)
    prepare(site.space)
    node = weir.Node(system, tools, node_name, subnets, NATIVE, site=site)
    node.start()
    return paths.weir_path(name, TITLES[name], node, system, tools, options)


def raw_big(system, tools, mtu, options):
    """What BIG TCP is worth on this machine."""
    way = paths.raw_veth(system, tools, mtu, options, "raw_big")
    for end in "ab":
        raise_link(f"{PREFIX}raw_big-{end}")
    return way


def check(way):
    wanted = BIG if way.name.endswith("_big") else LEGACY
    found = paths.gso_sizes(way)["gso_max_size"]
    if found != wanted:
        raise Failed(f"{TITLES[way.name]}: its links take {found} bytes")


def ways(system, tools, mtu, options):
    """Each by each congestion control."""
    made = [paths.raw_veth(system, tools, mtu, options), raw_big(system, tools, mtu, options),
            one_node("one", 247, system, tools, options),
            one_node("one_big", 248, system, tools, options, raise_link),
            two_nodes.weir_way("apart", 249, system, tools, options, NATIVE),
            two_nodes.weir_way("apart_big", 250, system, tools, options, NATIVE, raise_link)]
    for way in made:
        check(way)
    return [paths.with_cc(way, cc) for cc in CONTROLS for way in made]


def of_control(results, cc):
    """The results by one congestion control, by the names of the ways."""
    return {metric: {name.split("/")[0]: runs for name, runs in by_path.items()
                     if name.endswith(f"/{cc}")} for metric, by_path in results.items()}


def targets(summaries):
    """summaries: by congestion control."""
    rows = []
    for cc, summary in summaries.items():
        for name, kinds in summary.items():
            facts, noise = kinds["stream"]["paths"], kinds["stream"]["noise"]
            rows.append(report.target(f"{name} stream by {cc}, one node: BIG TCP ÷ raw veth at 64k",
                                      facts["one_big"]["to_raw"], OVER_RAW[cc], False, noise))
            rows.append(report.target(f"{name} stream by {cc}, two nodes: BIG TCP ÷ 64k",
                                      facts["apart_big"]["to_apart"], 1, False, noise))
    return rows
