"""./package [WHAT...]: makes what Weir is installed from; see ./package."""

import hashlib
import subprocess
import sys

import deb
import image
import manifests
from parts import OUT, ROOT

PARTS = {"image": image.weir, "node-local": image.node_local, "deb": deb.make,
         "manifests": manifests.make}


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main():
    wanted = sys.argv[1:] or list(PARTS)
    unknown = [word for word in wanted if word not in PARTS]
    if unknown:
        sys.exit(f"package: there is no {unknown[0]}; there are {', '.join(PARTS)}")
    if subprocess.run([ROOT / "tools/build", "release", "programs"]).returncode != 0:
        sys.exit("package: the build failed")
    OUT.mkdir(parents=True, exist_ok=True)
    for word in wanted:
        made = PARTS[word]()
        for path in made if isinstance(made, list) else [made]:
            size = path.stat().st_size / 1e6
            print(f"{path.relative_to(ROOT)}  {size:.1f} MB  sha256 {digest(path)}")


main()
