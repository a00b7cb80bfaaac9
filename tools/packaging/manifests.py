"""The plain manifests, which are deploy/chart as helm renders it; and the chart's archive."""

import hashlib
import re

from parts import OUT, ROOT, run

CHART = ROOT / "deploy/chart"
# Values beside the chart's own, and what of it goes into the file.
RENDERED = {
    "deploy/cni/weir-cni.yaml": ([], ["namespace", "rbac", "pod-endpoints", "config", "agent"]),
    "deploy/cni/weir-remove.yaml": (["remove=true"], ["namespace", "remove"]),
    "deploy/node-local/weir-node-local.yaml": (["nodeLocal.enabled=true"], ["node-local"]),
}
HEAD = "# Made by ./package from deploy/chart: change it there. {seal}\n"


def seal_of(tree, text):
    """Of the chart and the text that was made of it, so that neither changes alone."""
    digest = hashlib.sha256(text.encode())
    for path in sorted((tree / "deploy/chart").rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(tree)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def is_sealed(tree, path):
    if not (tree / path).exists():
        return False
    head, _, text = (tree / path).read_text().partition("\n")
    return head + "\n" == HEAD.format(seal=seal_of(tree, text))


def render(helm, values, templates):
    """The manifests of these templates, in this order, as one text."""
    words = [word for value in values for word in ("--set", value)]
    shown = [word for name in templates for word in ("--show-only", f"templates/{name}.yaml")]
    text = run(helm, "template", "weir", CHART, "--namespace", "weir-system", "--kube-version",
               "1.34.0", *words, *shown)
    return re.sub(r"^# Source: .*\n", "", text, flags=re.M)


def make():
    helm = run(ROOT / "tools/get_helm").strip()
    run(helm, "lint", "--strict", CHART)
    for path, (values, templates) in RENDERED.items():
        text = render(helm, values, templates)
        text = HEAD.format(seal=seal_of(ROOT, text)) + text
        if not (ROOT / path).exists() or (ROOT / path).read_text() != text:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(text)
    run(helm, "package", CHART, "--destination", OUT)
    return [*(ROOT / path for path in RENDERED), *OUT.glob("weir-*.tgz")]
