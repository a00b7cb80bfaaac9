"""OCI images, without a container engine: umoci makes layer and manifest, tar the archive."""

import json
import os
import re
import shutil
from datetime import datetime, timezone

from parts import BUILT, OUT, ROOT, Stage, epoch, run, version

# Host files that a container has at these paths.
EMPTY = ["run", "tmp", "etc", "proc", "sys", "dev", "host"]


def libraries(program):
    """Paths of the shared libraries that it is linked with, the loader's first."""
    found = re.findall(r"(/\S+) \(0x", run("ldd", program))
    return sorted(found, key=lambda path: ("ld-linux" not in path, path))


def add_library(stage, path):
    """The file under the name that the loader looks for, and its licence."""
    real = os.path.realpath(path)
    if stage.path(path).exists():
        return
    stage.copy(real, path)
    # dpkg knows files by the paths of its packages, which may be below /usr.
    owner = run("dpkg-query", "--search", "*/" + os.path.basename(real)).split(":")[0]
    notice = f"/usr/share/doc/{owner}/copyright"
    stage.copy(notice, notice, 0o644)


def make(name, stage, config):
    """Writes NAME-VERSION.oci.tar; config: options of `umoci config`. Returns its path."""
    tag = f"weir.dev/{name}:{version()}"
    layout = OUT / "stage" / f"{name}.oci"
    shutil.rmtree(layout, ignore_errors=True)
    when = datetime.fromtimestamp(epoch(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    image = f"{layout}:{version()}"
    history = ["--history.created", when, "--history.author", "Weir"]
    run("umoci", "init", "--layout", layout)
    run("umoci", "new", "--image", image)
    run("umoci", "insert", "--image", image, *history, stage.finish(), "/")
    run("umoci", "config", "--image", image, *history, "--created", when, "--author", "Weir",
        "--os", "linux", "--architecture", "amd64",
        "--config.label", f"org.opencontainers.image.version={version()}", *config)
    run("umoci", "gc", "--layout", layout)
    give_name(layout, tag)
    archive = OUT / f"{name}-{version()}.oci.tar"
    run("tar", "--create", "--file", archive, "--directory", layout, "--sort=name",
        f"--mtime=@{epoch()}", "--owner=0", "--group=0", "--numeric-owner", "--mode=u=rwX,go=rX",
        "--format=ustar", ".")
    return archive


def give_name(layout, tag):
    """containerd's import knows an image by this annotation."""
    index = json.loads((layout / "index.json").read_text())
    for manifest in index["manifests"]:
        manifest["annotations"]["io.containerd.image.name"] = tag
    (layout / "index.json").write_text(json.dumps(index, sort_keys=True))


def weir():
    """Agent, CNI plugin and command line with the libraries that they need: no shell."""
    stage = Stage("weir")
    for program in ("weir-agent", "weir-cni", "weir"):
        stage.copy(BUILT / program, f"/usr/bin/{program}")
    for program in ("weir-agent", "weir"):
        for library in libraries(BUILT / program):
            add_library(stage, library)
    for folder in EMPTY:
        stage.folder(folder)
    stage.link("/var/run", "../run")  # where runtimes say that network namespaces are
    return make("weir", stage, ["--config.entrypoint", "/usr/bin/weir-agent"])


def node_local():
    """The DNS cache of a node."""
    stage = Stage("node-local")
    stage.copy(run(ROOT / "tools/get_coredns").strip(), "/coredns")
    for folder in EMPTY:
        stage.folder(folder)
    return make("weir-node-local", stage, ["--config.entrypoint", "/coredns"])
