"""The targets of issue 4: Services beside the pod address, beside kube-proxy, and by their number."""

from parts import report
from parts.services import MODES
from parts.stats import median, ratios

POD_LIMITS = {"rr": 1.02, "crr": 1.05}
PROXY_LIMITS = {"nftables": 1.25, "iptables": 3}
FLAT_LIMIT = 1.05


def targets(results, summary, most, beside):
    """`most`, `beside`: numbers of Services, for flatness and beside kube-proxy."""
    rows = []
    for (kind, family), by_path in results.items():
        values = {name: [report.value(kind, one) for one in runs]
                  for name, runs in by_path.items() if runs}
        noise = summary[family][kind]["noise"]
        label = report.LABELS[kind].rsplit(" ", 2)[0]

        def claim(what, mine, base, limit, at_most=True):
            if mine in values and base in values:
                rows.append(report.target(f"{family} {label}, {what}",
                                          median(ratios(values[mine], values[base])),
                                          limit, at_most, noise))
        for mode, title in MODES.items():
            claim(f"{title}: ClusterIP ÷ pod address", f"{mode}_1_service", f"{mode}_1_pod",
                  POD_LIMITS[kind])
            claim(f"{title}: {most:,} Services ÷ 1", f"{mode}_{most}_service",
                  f"{mode}_1_service", FLAT_LIMIT)
            for proxy, limit in PROXY_LIMITS.items():
                if kind == "crr":
                    claim(f"{beside:,} Services, kube-proxy {proxy} ÷ {title}",
                          f"kube_proxy_{proxy}", f"{mode}_{beside}_service", limit, False)
    return rows
