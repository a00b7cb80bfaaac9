"""The Debian package: the programs, a unit for nodes that are no Kubernetes pods' hosts or that run
the agent beside the kubelet, manual pages, completion, the manifests."""

import os
import re

from parts import BUILT, OUT, ROOT, Stage, epoch, run, version

CONTROL = """\
Package: weir
Version: {version}
Architecture: amd64
Maintainer: The Weir developers <weir@weir.dev>
Section: net
Priority: optional
Depends: {depends}
Recommends: kubectl
Homepage: https://weir.dev
Installed-Size: {size}
Description: Pod network and Services of Kubernetes in eBPF
 Agent, CNI plugin and command line of Weir: pods' network in IPv4 and IPv6, Services without
 kube-proxy, every flow and every drop by name.
"""


def depends(stage):
    """What dpkg-shlibdeps finds that the programs need."""
    (stage.root / "debian").mkdir()
    (stage.root / "debian/control").write_text("Source: weir\n\nPackage: weir\nArchitecture: amd64\n")
    text = run("dpkg-shlibdeps", "-O", *(f"usr/bin/{name}" for name in ("weir", "weir-agent")),
               cwd=stage.root)
    run("rm", "-r", stage.root / "debian")
    return re.search(r"shlibs:Depends=(.*)", text).group(1)


def verbs():
    """As `weir --help` lists them."""
    text = run(BUILT / "weir", "--help")
    return re.findall(r"^  ([a-z]+) {2,}", text.split("Subcommands:")[1], re.M)


def manual_pages(stage):
    """help2man asks the programs themselves."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch()), "LC_ALL": "C",
                   "PATH": f"{BUILT}:{os.environ['PATH']}"}

    def page(command, name, section):
        text = run("help2man", "--no-info", f"--section={section}", "--source=Weir",
                   f"--name={name}", f"--version-string={version()}", "--no-discard-stderr",
                   command, env=environment)
        inside = f"/usr/share/man/man{section}/{command.replace(' ', '-')}.{section}"
        stage.write(inside, text)
        run("gzip", "-9n", stage.path(inside))

    page("weir", "network of Kubernetes pods in eBPF", 1)
    for verb in verbs():
        page(f"weir {verb}", "a verb of weir(1)", 1)
    page("weir-agent", "agent of a node", 8)


def make():
    stage = Stage("deb")
    for name in ("weir", "weir-agent"):
        stage.copy(BUILT / name, f"/usr/bin/{name}")
        run("strip", stage.path(f"/usr/bin/{name}"))
    stage.copy(BUILT / "weir-cni", "/usr/lib/cni/weir-cni")
    stage.link("/usr/bin/kubectl-weir", "weir")
    stage.copy(ROOT / "deploy/node/weir-agent.service", "/lib/systemd/system/weir-agent.service",
               0o644)
    stage.folder("/etc/weir")
    stage.write("/usr/share/bash-completion/completions/weir",
                run(BUILT / "weir", "completion", "bash"))
    stage.write("/usr/share/zsh/vendor-completions/_weir",
                run(BUILT / "weir", "completion", "zsh"))
    for path in sorted((ROOT / "deploy").glob("*/weir-*.yaml")):
        stage.copy(path, f"/usr/share/weir/{path.name}", 0o644)
    manual_pages(stage)
    needs = depends(stage)
    size = sum(path.lstat().st_size for path in stage.root.rglob("*")) // 1024
    stage.write("/DEBIAN/control", CONTROL.format(version=version(), depends=needs, size=size))
    path = OUT / f"weir_{version()}_amd64.deb"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())}
    run("dpkg-deb", "--build", "--root-owner-group", stage.finish(), path, env=environment)
    return path
