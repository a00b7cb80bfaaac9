#!/usr/bin/env -S python3 -B
"""images.py [--check] CACHE [COREDNS]: makes the container images of a cluster, CACHE/images/*.tar, of
the programs in CACHE/bin and of this machine's; without a registry.

pause comes of the C source in the module k8s.io/kubernetes. agnhost is upstream's Go program, and the
tools and CoreDNS that upstream's image adds and the tests call; it stands in for jessie-dnsutils and
busybox, too. --check makes nothing: it fails when an image is missing or old."""

import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DEPS = HERE.parents[1] / "tools" / "deps"
REGISTRY = "registry.k8s.io"
REGRESSION = "regression-issue-74839"
TOOLS = ["bash", "curl", "dig", "getent", "ip", "iperf", "nc", "ss", "wget"]
OCI = "application/vnd.oci.image."


def output(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True,
                          text=True).stdout


def version_of(deps, module):
    return re.search(rf"^require {module} (\S+)", (DEPS / deps / "go.mod").read_text(), re.M)[1]


def tag_of(image):
    """The tests' own tag of an image."""
    manifest = (source_of_kubernetes() / "test/utils/image/manifest.go").read_text()
    tag = re.search(rf'{{list.PromoterE2eRegistry, "{image}", "(.*)"}}', manifest)[1]
    return f"{REGISTRY}/e2e-test-images/{image}:{tag}"


def source_of_kubernetes():
    return Path(output("go", "-C", DEPS / "kubernetes", "list", "-m", "-f", "{{.Dir}}",
                       "k8s.io/kubernetes").strip())


class Layer:
    """A root file system, as a tar. The first to add a name wins."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w")
        self.names = set()

    def entry(self, name, kind, mode=0o755, content=b"", target=""):
        if name in self.names:
            return
        self.names.add(name)
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size, info.linkname = kind, mode, len(content), target
        self.tar.addfile(info, io.BytesIO(content))

    def file(self, name, content, mode=0o755):
        self.entry(name, tarfile.REGTYPE, mode, content)

    def link(self, name, target):
        self.entry(name, tarfile.SYMTYPE, target=target)

    def program(self, path):
        """A program and the libraries that it loads."""
        self.file(f"usr/bin/{path.name}", path.read_bytes())
        for library in re.findall(r"(/\S+) \(0x", output("ldd", path)):
            self.file(library.lstrip("/"), Path(library).read_bytes())

    def content(self):
        self.tar.close()
        return self.buffer.getvalue()


def write_image(path, names, layers, config):
    """An OCI archive, which `ctr images import` stores under the names. The first layer is lowest."""
    blobs = {}

    def blob(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": OCI + media_type, "digest": f"sha256:{digest}", "size": len(data)}

    contents = [layer.content() for layer in layers]
    image = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": {
        "type": "layers",
        "diff_ids": [f"sha256:{hashlib.sha256(content).hexdigest()}" for content in contents]}}
    manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                "config": blob(json.dumps(image).encode(), "config.v1+json"),
                "layers": [blob(gzip.compress(content, 1, mtime=0), "layer.v1.tar+gzip")
                           for content in contents]}
    entry = blob(json.dumps(manifest).encode(), "manifest.v1+json")
    index = {"schemaVersion": 2, "manifests": [
        entry | {"annotations": {"io.containerd.image.name": name}} for name in names]}
    archive = Layer()
    archive.file("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    archive.file("index.json", json.dumps(index).encode())
    for name, data in blobs.items():
        archive.file(name, data)
    made = path.with_suffix(".new")
    made.write_bytes(archive.content())
    made.rename(path)


def pause(path):
    layer = Layer()
    with tempfile.TemporaryDirectory() as work:
        program = Path(work, "pause")
        subprocess.run(["cc", "-Os", "-static", "-s", "-DVERSION=weir", "-o", program,
                        source_of_kubernetes() / "build/pause/linux/pause.c"], check=True)
        layer.file("pause", program.read_bytes())
    write_image(path, [f"{REGISTRY}/pause:{tag}" for tag in ("3.10", "3.10.1")], [layer],
                {"Entrypoint": ["/pause"], "User": "65535:65535"})


def agnhost(path, program, coredns):
    source = source_of_kubernetes() / "test/images/agnhost"
    layer = Layer()
    for name in ("bin", "etc", "root", "uploads", "usr", "usr/bin", "var"):
        layer.entry(name, tarfile.DIRTYPE)
    layer.entry("tmp", tarfile.DIRTYPE, 0o1777)
    layer.file("agnhost", program.read_bytes())
    layer.link("agnhost-2", "agnhost")
    for name in ("localhost.crt", "localhost.key"):
        layer.file(name, (source / "porter" / name).read_bytes(), 0o644)
    for tool, found in tools().items():
        layer.program(found)
        layer.link(f"usr/bin/{tool}", found.name)  # a name may be an alternative: nc, nc.openbsd
    for shell in ("bin/sh", "bin/bash"):  # busybox's sh would prefer its own ip and nc
        layer.link(shell, "/usr/bin/bash")
    busybox = Path(shutil.which("busybox"))
    layer.file("bin/busybox", busybox.read_bytes())
    for applet in output(busybox, "--list").split():
        if applet not in TOOLS:
            layer.link(f"bin/{applet}", "busybox")
    layer.file("etc/wgetrc", b"tries = 1\n", 0o644)  # as busybox's, which tests expect
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n"
               b"user-defined-in-image:x:1000:1000::/:/bin/sh\n", 0o644)
    layer.file("etc/group", b"root:x:0:\nuser-defined-in-image:x:1000:\n"
               b"group-defined-in-image:x:50000:user-defined-in-image\n", 0o644)
    names = [tag_of(name) for name in ("agnhost", "jessie-dnsutils", "busybox")]
    # the same layer as in CoreDNS' own image: a node unpacks it once
    write_image(path, names, [layer_of(coredns), layer],
                {"Entrypoint": ["/agnhost"], "Cmd": ["pause"],
                 "Env": ["PATH=/usr/local/bin:/usr/bin:/bin:/"]})


def layer_of(program):
    layer = Layer()
    layer.file(program.name, program.read_bytes())
    return layer


def one_program(path, program, name):
    write_image(path, [name], [layer_of(program)], {"Entrypoint": [f"/{program.name}"]})


def tools():
    return {tool: Path(shutil.which(tool)).resolve() for tool in TOOLS}


def digest(*sources):
    """Of files' contents, or of texts."""
    made = hashlib.sha256()
    for source in (Path(__file__), *sources):
        content = source.read_bytes() if isinstance(source, Path) else source.encode()
        made.update(hashlib.sha256(content).digest())
    return made.hexdigest()


def made_of(cache):
    """{image: digest of what it is made of}. A Go program is what its lists of modules say."""
    coredns = [DEPS / "coredns" / name for name in ("go.mod", "go.sum", "main.go")]
    return {
        "pause": digest(version_of("kubernetes", "k8s.io/kubernetes")),
        "agnhost": digest(cache / "bin" / "agnhost.hash", Path(shutil.which("busybox")),
                          *tools().values(), *coredns),
        REGRESSION: digest(cache / "bin" / f"{REGRESSION}.hash"),
        "coredns": digest(*coredns),
    }


def main():
    arguments = sys.argv[1:]
    only_check = arguments[0] == "--check"
    cache = Path(arguments[only_check])
    images = cache / "images"
    images.mkdir(parents=True, exist_ok=True)
    for name, wanted in made_of(cache).items():
        path, mark = images / f"{name}.tar", images / f"{name}.hash"
        if path.exists() and mark.exists() and mark.read_text() == wanted:
            continue
        if only_check:
            sys.exit(1)
        if name == "pause":
            pause(path)
        elif name == "agnhost":
            agnhost(path, cache / "bin" / "agnhost", Path(arguments[1]))
        elif name == REGRESSION:
            one_program(path, cache / "bin" / REGRESSION, tag_of(REGRESSION))
        else:
            version = version_of("coredns", "github.com/coredns/coredns")
            one_program(path, Path(arguments[1]), f"{REGISTRY}/coredns/coredns:{version}")
        mark.write_text(wanted)
        print(f"{path}: {os.path.getsize(path) >> 20} MiB", file=sys.stderr)


if __name__ == "__main__":
    main()
