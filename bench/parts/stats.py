"""Medians, ratios by round, and when to trust neither."""

import os

NOISY_SPREAD = {"rr": 0.05, "crr": 0.05, "stream": 0.10}  # inter-quartile range ÷ median
NOISY_LOAD = 1.0  # of one minute, before the start


def quantile(values, q):
    """Linear between the neighbours."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def median(values):
    return quantile(values, 0.5)


def spread(values):
    """Inter-quartile range as a part of the median."""
    return (quantile(values, 0.75) - quantile(values, 0.25)) / median(values)


def ratios(values, base):
    """Each round's value ÷ the same round's base."""
    return [one / other for one, other in zip(values, base)]


def load():
    return os.getloadavg()[0]


def too_noisy(kind, baseline):
    """Why a metric must not be judged: the limit itself was not steady. Empty when it may be."""
    changes = spread(baseline)
    return f"raw veth varies by {changes:.0%}" if changes > NOISY_SPREAD[kind] else ""


def too_busy(load_before):
    """The same for what does not run ahead of other processes."""
    return f"load was {load_before:.1f}" if load_before > NOISY_LOAD else ""
