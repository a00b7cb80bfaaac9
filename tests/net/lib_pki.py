"""Certificates for tests, made by openssl."""

from lib_net import run

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
CA_SETTINGS = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
"""


class Certificate:
    def __init__(self, folder, name):
        self.path = folder / f"{name}.crt"
        self.key = folder / f"{name}.key"

    def text(self):
        return self.path.read_text()


class Authority(Certificate):
    """A CA and what it has signed, below a folder of its own."""

    def __init__(self, folder, name="authority"):
        self.folder = folder / name
        self.folder.mkdir()
        super().__init__(self.folder, name)
        run("openssl", "req", "-x509", *CURVE, "-subj", f"/CN={name}", "-days", 30,
            "-keyout", self.key, "-out", self.path)

    def sign(self, name, names=(), starts=None):
        """A certificate for these names ("IP:127.0.0.1", "DNS:api.test"); `starts`: when it becomes
        valid, as YYYYMMDDHHMMSSZ."""
        one = Certificate(self.folder, name)
        extension = ["-addext", "subjectAltName=" + ",".join(names)] if names else []
        subject = ["-subj", f"/CN={name}"]
        if starts is None:
            run("openssl", "req", "-x509", "-CA", self.path, "-CAkey", self.key, *CURVE, *subject,
                *extension, "-days", 30, "-keyout", one.key, "-out", one.path)
            return one
        request = self.folder / f"{name}.csr"
        settings = self.folder / "ca.cnf"
        settings.write_text(CA_SETTINGS.format(folder=self.folder))
        (self.folder / "index.txt").touch()
        run("openssl", "req", "-new", *CURVE, *subject, *extension, "-keyout", one.key, "-out", request)
        run("openssl", "ca", "-batch", "-notext", "-config", settings, "-cert", self.path, "-keyfile",
            self.key, "-startdate", starts, "-days", 30, "-in", request, "-out", one.path)
        return one
