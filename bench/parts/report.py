"""The table, and each target of the speed promise: ok, short, or too noisy to judge."""

from parts.stats import median, ratios, spread, too_noisy

LABELS = {"rr": "request p50 us", "crr": "connection p50 us", "stream": "stream Gbit/s"}
# Weir observed ÷ raw veth pair
LIMITS = {"rr": 1.10, "crr": 1.12, "stream": 0.97}
OBSERVED_LIMITS = {"rr": 1.02, "crr": 1.05}


def value(kind, result):
    return result["gbit"] if kind == "stream" else result["p50_us"]


PAIRS = (("weir", "ptp"), ("weir", "bridge"), ("weir", "weir_unobserved"))


def traffic_summary(results, busy, pairs=PAIRS):
    """{family: {kind: {path: facts}}} with medians, spreads and ratios to the raw pair, and of the
    first to the second of each of `pairs`. `busy`: why nothing must be judged."""
    summary = {}
    for (kind, family), by_path in results.items():
        values = {name: [value(kind, one) for one in runs] for name, runs in by_path.items()}
        facts = {}
        for name, runs in values.items():
            by_round = ratios(runs, values["raw"])
            facts[name] = {"median": round(median(runs), 3), "spread": round(spread(runs), 4),
                           "to_raw": round(median(by_round), 4),
                           "to_raw_spread": round(spread(by_round), 4), "rounds": runs}
            if kind != "stream":
                facts[name]["p99_us"] = round(median([one["p99_us"] for one in by_path[name]]), 3)
                facts[name]["rate"] = round(median([one["rate"] for one in by_path[name]]), 1)
        for name, other in pairs:
            if name in values and other in values:
                by_round = ratios(values[name], values[other])
                facts[name][f"to_{other}"] = round(median(by_round), 4)
        summary.setdefault(family, {})[kind] = {
            "paths": facts, "noise": too_noisy(kind, values["raw"]) or busy}
    return summary


def traffic_table(summary, titles):
    lines, width = [], max(26, *map(len, titles.values()))
    for family, kinds in summary.items():
        lines.append(f"{family:{width + 2}}" + "".join(
            f"{LABELS[kind]:>20}{'÷ raw':>8}{'±':>5}" for kind in kinds))
        for name, title in titles.items():
            row = f"  {title:{width}}"
            if any(name not in facts["paths"] for facts in kinds.values()):
                continue  # not in this family
            for kind in kinds:
                facts = kinds[kind]["paths"][name]
                row += (f"{facts['median']:20.2f}{facts['to_raw']:8.3f}"
                        f"{facts['to_raw_spread'] / 2:5.0%}")
            lines.append(row)
        lines.append("")
    return lines


def target(what, got, limit, at_most=True, noise="", unit=""):
    """One line of the verdict; `noise`: why it must not be judged."""
    good = got <= limit if at_most else got >= limit
    word = "too noisy to judge" if noise else "ok" if good else "short"
    sign = "<=" if at_most else ">="
    return {"target": what, "got": round(got, 3), "limit": f"{sign} {limit:g}{unit}",
            "verdict": word, "noise": noise}


def traffic_targets(summary):
    rows = []
    for family, kinds in summary.items():
        for kind, facts in kinds.items():
            mine = facts["paths"].get("weir")
            if not mine:
                continue
            more = kind == "stream"
            noise, name = facts["noise"], f"{family} {LABELS[kind].rsplit(' ', 1)[0]}"
            rows.append(target(f"{name} ÷ raw veth", mine["to_raw"], LIMITS[kind], not more,
                               noise))
            for other in ("ptp", "bridge"):
                rows.append(target(f"{name} ÷ {other} (ahead)", mine[f"to_{other}"], 1, not more,
                                   noise))
            if kind in OBSERVED_LIMITS and "to_weir_unobserved" in mine:
                rows.append(target(f"{name}, observed ÷ unobserved", mine["to_weir_unobserved"],
                                   OBSERVED_LIMITS[kind], True, noise))
    return rows


def cni_table(summary):
    columns = ("ADD_p50_ms", "ADD_p99_ms", "DEL_p50_ms", "DEL_p99_ms")
    lines = [f"{'CNI, milliseconds':28}" + "".join(f"{one[:-3].replace('_', ' '):>12}"
                                                  for one in columns)]
    for name, facts in summary.items():
        lines.append(f"  {name:26}" + "".join(f"{facts[one]:12.2f}" for one in columns))
    return lines + [""]


def cni_targets(summary, noise):
    mine, ptp = summary.get("weir-cni"), summary.get("ptp")
    if not mine:
        return []
    return [target(f"CNI {name} ÷ ptp's {other}", mine[f"{name.replace(' ', '_')}_ms"]
                   / ptp[f"{other.replace(' ', '_')}_ms"], limit, noise=noise)
            for name, other, limit in (("ADD p50", "ADD p50", 0.35), ("ADD p99", "ADD p50", 1),
                                       ("DEL p50", "DEL p50", 0.8))]


def agent_targets(facts, noise):
    rows = [target("agent ready, cold", facts["cold_ms_median"], 1000, noise=noise, unit=" ms"),
            target("agent ready, adopting 110 pods", facts["adopt_ms_median"], 300, noise=noise,
                   unit=" ms"),
            target("agent RSS with 110 pods", max(facts["rss_mb"]), 25, unit=" MB")]
    for name, count in facts["verified_instructions"].items():
        rows.append(target(f"verified instructions of {name}", count, 30000))
    if not facts["adopted"]:
        rows.append({"target": "restart adopts the programs", "got": "loaded anew",
                     "limit": "adopted", "verdict": "short", "noise": ""})
    return rows


def target_table(rows):
    width = max(44, *(len(row["target"]) + 2 for row in rows))
    lines = [f"{'target':{width}}{'got':>12}  {'limit':12}verdict"]
    for row in rows:
        why = f" ({row['noise']})" if row["noise"] else ""
        lines.append(f"{row['target']:{width}}{row['got']:>12}  {row['limit']:12}{row['verdict']}{why}")
    return lines
