#!/usr/bin/python3 -B
"""Which API server a follower talks to, as whom, and what it does when servers die, hang, move, or
are not who they should be. The interpreter is Debian's, for python3-h2 is."""

import base64
import json
import os
import socket
import subprocess
import sys
import time

import lib_fake_api
import lib_fake_http
import lib_follow_scene
import lib_pki
from lib_api_store import KINDS
from lib_follow_scene import Scene
from lib_lab import SKIP, claim, equal
from lib_net import PATIENCE, run, wait_for

CLAIMS = 29
NAME = "api.weir.test"
YEARS_AHEAD = "20990101000000Z"


def trusting(scene, *servers, ca=None):
    """Flags: these servers, and the CA that signed them."""
    words = [word for server in servers for word in ("--server", server)]
    return [*words, "--ca", ca or scene.pki.authority.path]


def kubeconfig(scene, user, **cluster):
    path = scene.pki.folder / "kubeconfig"
    cluster = {"server": scene.server.url,
               "certificate-authority": str(scene.pki.authority.path), **cluster}
    path.write_text(json.dumps({
        "current-context": "here", "contexts": [{"name": "here",
                                                 "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "u", "user": user}]}))
    return "--kubeconfig", path


def write(path, text):
    """As files are renewed: in one step."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def tokens(pki):
    with claim("an expired token is read again from its file"), Scene(pki) as scene:
        file = pki.folder / "token"
        write(file, "old\n")
        scene.server.tokens = {"new"}
        scene.start(*trusting(scene, scene.server.url), "--token-file", file)
        scene.follower.complains("401", "token", "expired")
        equal(scene.follower.synced, 0)
        write(file, "new\n")
        scene.follower.has_synced()
        scene.server.tokens = {"newer"}
        write(file, "newer")
        scene.server.cut_all()
        scene.goes_on()
        scene.follower.is_content()
        equal({one.token for one in scene.server.requests}, {"old", "new", "newer"})
    with claim("a token that is not there is named"), Scene(pki) as scene:
        file = pki.folder / "late-token"
        scene.start(*trusting(scene, scene.server.url), "--token-file", file)
        scene.follower.complains(str(file))
        equal(scene.server.requests, [], "requests without a token")
        write(file, "any")
        scene.follower.has_synced()
        scene.goes_on()


def certificates(pki):
    first, second = (pki.authority.sign(f"client-{n}") for n in (1, 2))

    def by_files(one):
        return {"client-certificate": str(one.path), "client-key": str(one.key)}

    def by_data(one):
        return {"client-certificate-data": base64.b64encode(one.path.read_bytes()).decode(),
                "client-key-data": base64.b64encode(one.key.read_bytes()).decode()}
    for how in (by_files, by_data):
        with claim(f"a client certificate, {how.__name__}"), \
                Scene(pki, client_ca=pki.authority) as scene:
            scene.server.users = {"client-1"}
            scene.follow(*kubeconfig(scene, how(first)))
            scene.goes_on()
            equal({one.user for one in scene.server.requests}, {"client-1"})
    with claim("a client certificate that nobody knows is a 401"), \
            Scene(pki, client_ca=pki.authority) as scene:
        scene.server.users = {"client-1"}
        scene.start(*kubeconfig(scene, by_files(second)))
        scene.follower.complains("401", "certificate")
    for http2 in (False, True):
        with claim(f"a renewed certificate is used, {'HTTP/2' if http2 else 'HTTP/1.1'}"), \
                Scene(pki, client_ca=pki.authority, http2=http2) as scene:
            mine = lib_pki.Certificate(pki.folder, "mine")
            write(mine.path, first.path.read_text())
            write(mine.key, first.key.read_text())
            scene.server.users = {"client-1"}
            scene.follow(*kubeconfig(scene, by_files(mine)), stream_ms=1000)
            write(mine.path, second.path.read_text())
            write(mine.key, second.key.read_text())
            # The first has expired: what is asked is refused, but no connection ends.
            scene.server.users = {"client-2"}
            watches = len(scene.server.asked("watch"))
            wait_for(lambda n=watches: len(scene.server.asked("watch")) >= n + len(KINDS),
                     "all watches to end in time")
            scene.goes_on()


def strangers(pki):
    other = lib_pki.Authority(pki.folder, "other")
    with claim("a server of another CA gets nothing"), Scene(pki) as scene:
        scene.start(*trusting(scene, scene.server.url, ca=other.path))
        scene.follower.complains(scene.server.url, "certificate")
        equal(scene.server.requests, [])
    with claim("nor does one whose CA the system trusts, but not the cluster"), Scene(pki) as scene:
        store = pki.folder / "system"
        store.mkdir()
        digest = run("openssl", "x509", "-hash", "-noout", "-in",
                                        pki.authority.path).stdout.strip()
        (store / f"{digest}.0").write_text(pki.authority.text())
        scene.start(*trusting(scene, scene.server.url, ca=other.path),
                    prefix=mounted(store, "/etc/ssl/certs"))
        scene.follower.complains(scene.server.url, "certificate")
        equal(scene.server.requests, [])
    with claim("a certificate for another name"), Scene(pki) as scene:
        scene.server.stop()
        scene.restart_server(certificate=pki.authority.sign("elsewhere", [f"DNS:{NAME}"]))
        scene.start()
        scene.follower.complains(scene.server.url, "127.0.0.1")
        equal(scene.server.requests, [])
    with claim("tls-server-name is the name in the certificate"), Scene(pki) as scene:
        scene.server.stop()
        scene.restart_server(certificate=pki.authority.sign("named", [f"DNS:{NAME}"]))
        scene.follow(*kubeconfig(scene, {}, **{"tls-server-name": NAME}))
        scene.goes_on()
    with claim("and no other"), Scene(pki) as scene:
        scene.start(*kubeconfig(scene, {}, **{"tls-server-name": NAME}))
        scene.follower.complains(scene.server.url, NAME)
        equal(scene.server.requests, [])
    with claim("a certificate that is not valid yet: the clock is named"), Scene(pki) as scene:
        scene.server.stop()
        scene.restart_server(certificate=pki.authority.sign("future", ["IP:127.0.0.1"],
                                                            starts=YEARS_AHEAD))
        scene.start()
        scene.follower.complains("not yet valid", "clock", time.strftime("%Y-%m-%dT", time.gmtime()))
        equal(scene.server.requests, [])
    with claim("a renewed CA is read again"), Scene(pki) as scene:
        file = pki.folder / "renewed-ca"
        write(file, pki.authority.text())
        scene.follow(*trusting(scene, scene.server.url, ca=file))
        scene.server.stop()
        scene.restart_server(certificate=other.sign("server", ["IP:127.0.0.1"]))
        scene.follower.complains("certificate")
        scene.change()
        write(file, other.text())
        scene.catches_up()
        scene.goes_on()
    with claim("a port where no TLS is spoken"), Scene(pki) as scene:
        with socket.create_server(("127.0.0.1", 0)) as plain:
            scene.start(*trusting(scene, "https://127.0.0.1:%d" % plain.getsockname()[1]))
            peer, _ = plain.accept()
            with peer:
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\nplain text\n")
                peer.shutdown(socket.SHUT_WR)
                scene.follower.complains("API server")


def mounted(source, target):
    """A command whose child sees `source` at `target`."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c",
            f'mount --bind {source} {target} && exec "$@"', "sh"]


def gone_and_back(pki):
    for http2 in (False, True):
        with claim(f"a server that was gone, {'HTTP/2' if http2 else 'HTTP/1.1'}"), \
                Scene(pki, http2=http2) as scene:
            scene.follow()
            has = dict(scene.follower.has)
            scene.server.stop()
            scene.follower.complains(scene.server.url)
            scene.change()
            for kind in KINDS:
                scene.store.delete(kind, "n1")
            scene.store.compact()
            equal(dict(scene.follower.has), has, "what it had stays")
            equal(scene.follower.erased, [])
            scene.restart_server(http2=http2)
            scene.catches_up()
            equal(sorted(scene.follower.erased), sorted(key for key in has if key[1].endswith("n1")))
            scene.goes_on()
            scene.follower.is_content()
    with claim("a server that comes after the follower"), Scene(pki) as scene:
        scene.server.stop()
        scene.start()
        scene.follower.complains(scene.server.url, "refused")
        end = time.monotonic() + 0.5
        wait_for(lambda: time.monotonic() > end, "some more tries")
        equal(len(set(scene.follower.said)), 1, f"problems {scene.follower.said}")
        equal(scene.follower.warnings, 1, "it is told once")
        scene.restart_server()
        scene.follower.has_synced()
        scene.goes_on()


def failover(pki):
    with claim("of two servers one is dead"), Scene(pki) as scene:
        second = scene.serve()
        scene.server.stop()
        scene.follow(*trusting(scene, scene.server.url, second.url))
        scene.goes_on()
    with claim("the one that is asked dies"), Scene(pki) as scene:
        second = scene.serve()
        scene.follow(*trusting(scene, scene.server.url, second.url))
        equal(second.requests, [])
        scene.server.stop()
        scene.goes_on()
        scene.restart_server()
        second.stop()
        scene.goes_on()
        scene.follower.is_content()
    with claim("one is up, and answers 503"), Scene(pki) as scene:
        second = scene.serve()
        scene.server.fail("*", "*", lib_fake_api.refuse(503), times=10**6)
        scene.follow(*trusting(scene, scene.server.url, second.url))
        scene.goes_on()
    with claim("one takes connections and says nothing"), Scene(pki) as scene:
        with socket.create_server(("127.0.0.1", 0), backlog=100) as hung:
            url = "https://127.0.0.1:%d" % hung.getsockname()[1]
            scene.follow(*trusting(scene, url, scene.server.url), patience_ms=300)
            scene.goes_on()
    with claim("one lags behind the other"), Scene(pki) as scene:
        lagging = Scene(pki)
        with lagging:
            scene.follow(*trusting(scene, scene.server.url, lagging.server.url), watch_silence_ms=400)
            scene.change()
            scene.catches_up()
            scene.server.stop()
            wait_for(lambda: len(lagging.server.requests) > len(KINDS), "the second to be asked")
            scene.restart_server()
            scene.goes_on()
    with claim("a server that moves to another address under the same name"), Scene(pki) as scene:
        named = pki.authority.sign("moving", [f"DNS:{NAME}"])
        hosts = pki.folder / "hosts"
        hosts.write_text(f"127.0.0.1 {NAME}\n")
        scene.server.stop()
        scene.restart_server(certificate=named)
        scene.follow(*trusting(scene, f"https://{NAME}:{scene.server.port}"),
                     prefix=mounted(hosts, "/etc/hosts"))
        scene.goes_on()
        scene.server.stop()
        scene.follower.complains(NAME)
        scene.change()
        port = scene.server.port
        scene.server = scene.serve(certificate=named, address="127.0.0.2", port=port)
        hosts.write_text(f"127.0.0.2 {NAME}\n")
        scene.catches_up()
        scene.goes_on()


def http2(pki):
    with claim("HTTP/2: a server that says GOAWAY is left, nothing is lost"), \
            Scene(pki, http2=True) as scene:
        scene.follow()
        for _ in range(3):
            for one in scene.server.http2_connections[-2:]:
                one.say_goodbye()
            scene.goes_on()
            scene.server.fail("watch", "*", lib_fake_api.changed(lambda *_: iter(())), times=1)
        scene.list_anew()
        scene.goes_on()
    with claim("HTTP/2: streams are reset one by one"), Scene(pki, http2=True) as scene:
        scene.server.fail("*", "*", lib_fake_api.cut(100, how=lib_fake_http.Reset), times=20)
        scene.start().has_synced()
        scene.goes_on()
        equal(scene.server.faults_left(), 0)
        equal(scene.server.connections, 2)
    with claim("HTTP/2: connections are cut in mid-frame"), Scene(pki, http2=True) as scene:
        for after in range(0, 400, 40):
            scene.server.fail("*", "*", lib_fake_api.cut(after))
        scene.start().has_synced()
        scene.goes_on()
    with claim("HTTP/2: a connection that nobody serves any more is replaced"), \
            Scene(pki, http2=True) as scene:
        scene.follow(watch_silence_ms=400, list_silence_ms=400)
        for one in list(scene.server.http2_connections):
            one.frozen = True
        scene.goes_on()
        equal(scene.server.connections, 4)
    with claim("HTTP/2: a silent stream among others that speak"), Scene(pki, http2=True) as scene:
        scene.follow(watch_silence_ms=400)
        scene.server.fail("watch", "Pod", lib_fake_api.hang(0), times=2)
        scene.list_anew()
        for _ in range(3):
            scene.goes_on()


lib_follow_scene.begin()
if os.geteuid() != 0 or subprocess.run([*mounted("/etc/hosts", "/etc/hosts"), "true"],
                                       timeout=PATIENCE, check=False).returncode:
    print("skipped: needs root and mount namespaces")
    sys.exit(SKIP)
lib_follow_scene.run((tokens, certificates, strangers, gone_and_back, failover, http2), CLAIMS)
