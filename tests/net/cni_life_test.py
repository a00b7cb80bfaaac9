#!/usr/bin/env -S python3 -B
"""What attachments live through: the agent ending, killed and coming back; DEL without an agent;
namespaces that vanish; failures half way; garbage collection; an exhausted pool. After each: what
is left is told exactly."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cni"))
import bed

LATER, UNAVAILABLE = 11, 50
THRONG = 200


def addresses(result):
    return [ip["address"] for ip in result["ips"]]


def restart(node):
    pod, dead = bed.Netns(), bed.Netns()
    for how in (signal.SIGTERM, signal.SIGKILL):
        with bed.claim(f"{node.kind}: after {how.name} and start the pod is as before"):
            result = node.add("c1", pod)
            node.stop(how)
            node.start()
            bed.equal(node.call("CHECK", "c1", pod,
                                config=node.config(prevResult=result)).status, 0)
            bed.equal(node.add("c1", pod), result)
            assert node.endpoints(), "endpoint is not in the packet path"
            node.delete("c1", pod)
            node.expect_clean(pod)
    with bed.claim(f"{node.kind}: freed addresses rest over a restart"):
        first = node.add("c1", pod)
        node.delete("c1", pod)
        node.stop()
        node.start()
        second = node.add("c2", pod)
        assert not set(addresses(first)) & set(addresses(second)), second
        node.delete("c2", pod)
    with bed.claim(f"{node.kind}: a pod that died meanwhile is freed at start"):
        node.add("c1", dead)
        node.stop(signal.SIGKILL)
        dead.remove()
        node.start()
        bed.wait_for(lambda: not node.leftovers(), "the dead pod to be freed")
    with bed.claim(f"{node.kind}: half a record and a link without one are cleared at start"):
        node.add("c1", pod)
        node.stop(signal.SIGKILL)
        next((node.state / "sandboxes").glob("*.json")).unlink()
        (node.state / "sandboxes" / ".c9:eth0.json.1.0").write_text("{")
        node.start()
        bed.wait_for(lambda: not node.leftovers(), "the link without record to go")
    with bed.claim(f"{node.kind}: an interrupted DEL is ended at start"):
        node.add("c1", pod)
        node.stop(signal.SIGKILL)
        path = next((node.state / "sandboxes").glob("*.json"))
        path.write_text(json.dumps(dict(json.loads(path.read_text()), deleting=True)))
        node.start()
        bed.wait_for(lambda: not node.leftovers(), "the DEL to be ended")


def broken_state(node):
    pod = bed.Netns()
    with bed.claim(f"{node.kind}: an unreadable record keeps its link until DEL"):
        node.add("c1", pod)
        node.stop()
        next((node.state / "sandboxes").glob("*.json")).write_text("{broken")
        node.start()
        assert "eth0" in pod.links()
        node.delete("c1", pod)
        node.expect_clean(pod)
    with bed.claim(f"{node.kind}: a broken pools.json is begun anew"):
        node.stop()
        (node.state / "pools.json").write_text("[1,")
        node.start()
        node.add("c1", pod)
        node.delete("c1", pod)
        node.expect_clean(pod)


def away(node):
    pod = bed.Netns()
    result = node.add("c1", pod)
    node.stop()
    with bed.claim(f"{node.kind}: with the agent away ADD and CHECK are error {LATER}"):
        for command in ("ADD", "CHECK"):
            reply = node.call(command, "c2", pod, config=node.config(prevResult=result))
            bed.equal(reply.code(), LATER)
            assert "away" in reply.document["msg"], reply.text
        bed.equal(node.call("STATUS").code(), UNAVAILABLE)
    with bed.claim(f"{node.kind}: DEL is kept, and done at the next start"):
        node.delete("c1", pod)
        node.delete("never", pod)
        bed.equal(len(list((node.state / "cni-spool").glob("*.json"))), 2)
        (node.state / "cni-spool" / "junk.json").write_text("junk")
        assert "eth0" in pod.links()
        node.start()
        bed.wait_for(lambda: not node.leftovers(), "the spool to be applied")
        node.expect_clean(pod)
    with bed.claim(f"{node.kind}: a DEL that was kept late is done before the ADD that follows"):
        node.add("c1", pod)
        node.stop(signal.SIGKILL)
        node.delete("c1", pod)
        kept = next((node.state / "cni-spool").glob("*.json"))
        text = kept.read_text()
        kept.unlink()
        node.start()
        kept.write_text(text)  # the plugin was slower than this agent's start
        bed.wait_for(lambda: node.call("ADD", "c1", pod).status == 0, "ADD to work")
        bed.wait_for(lambda: not kept.exists(), "the sweep")
        assert node.endpoints() and "eth0" in pod.links(), "the pod is gone"
        node.delete("c1", pod)
        node.expect_clean(pod)
    with bed.claim(f"{node.kind}: a DEL that cannot be kept is error {LATER}"):
        node.stop()
        config = dict(node.config(), stateDir="/proc/none")
        bed.equal(node.call("DEL", "c1", pod, config=config).code(), LATER)
        node.start()


def vanish(node):
    with bed.claim(f"{node.kind}: DEL works when the namespace has vanished"):
        pod = bed.Netns()
        node.add("c1", pod)
        pod.remove()
        node.delete("c1", pod.path)
        node.expect_clean()
    with bed.claim(f"{node.kind}: a vanished pod is freed without DEL"):
        pod = bed.Netns()
        node.add("c1", pod)
        pod.remove()
        bed.wait_for(lambda: not node.leftovers(), "the sweep to free it")
    with bed.claim(f"{node.kind}: ADD takes the place of one that died without DEL"):
        pod = bed.Netns()
        node.add("c1", pod)
        pod.remove()
        again = bed.Netns()
        bed.wait_for(lambda: node.call("ADD", "c1", again).status == 0, "ADD to work")
        node.delete("c1", again)
        node.expect_clean(again)


def collect(node):
    pods = [bed.Netns() for _ in range(4)]
    with bed.claim(f"{node.kind}: GC frees what is not listed, of its own network only"):
        for number, pod in enumerate(pods[:3]):
            node.add(f"c{number}", pod)
        node.add("c3", pods[3], config=dict(node.config(), name="other"))
        valid = [{"containerID": "c1", "ifname": "eth0"}]
        config = node.config("1.1.0", **{"cni.dev/valid-attachments": valid})
        bed.equal(node.call("GC", config=config).text, "")
        bed.equal(sorted(one["container_id"] for one in node.records()), ["c1", "c3"])
    with bed.claim(f"{node.kind}: GC without a list is an error"):
        bed.equal(node.call("GC", config=node.config("1.1.0")).code(), 7)
    for name in ("c1", "c3"):
        node.delete(name)
    with bed.claim(f"{node.kind}: after GC and DEL nothing is left"):
        for pod in pods:
            node.expect_clean(pod)


def chain(node):
    pod = bed.Netns()
    with bed.claim(f"{node.kind}: ADD appends to prevResult"):
        for version in ("0.4.0", "1.0.0", "1.1.0"):
            before = {"cniVersion": version, "dns": {"nameservers": ["10.0.0.53"]},
                      "interfaces": [{"name": "net0", "sandbox": pod.path}],
                      "ips": [{"address": "192.0.2.9/24", "interface": 0}]}
            result = node.add("c1", pod, config=node.config(version, prevResult=before))
            bed.equal(result["interfaces"][0], before["interfaces"][0])
            bed.equal([one["name"] for one in result["interfaces"]][2], "eth0")
            bed.equal([ip["interface"] for ip in result["ips"]], [0, 2, 2])
            bed.equal(result["dns"], before["dns"])
            node.delete("c1", pod)
        node.expect_clean(pod)


def crowd(node):
    pods = [bed.Netns() for _ in range(12)]

    def life(number):
        for turn in range(3):
            node.add(f"t{number}x{turn}", pods[number])
            node.delete(f"t{number}x{turn}", pods[number])

    with bed.claim(f"{node.kind}: many at once neither clash nor leak"):
        threads = [threading.Thread(target=life, args=(number,)) for number in range(len(pods))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for pod in pods:
            node.expect_clean(pod)
    with bed.claim(f"{node.kind}: DELs and an ADD of one pod at once agree in the end"):
        node.add("c1", pods[0])
        replies = []
        calls = [threading.Thread(target=lambda verb=verb: replies.append(
            node.call(verb, "c1", pods[0]))) for verb in ("DEL", "DEL", "ADD", "DEL")]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
        node.delete("c1", pods[0])
        node.expect_clean(pods[0])


def throng():
    """As many at once as a node can be asked for when it has booted, and twice that."""
    node = bed.Node("agent", ranges=["10.244.8.0/22", "fd00:8::/64"]).start()
    pods = [bed.Netns() for _ in range(THRONG)]
    results = {}

    def at_once(work):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(THRONG)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def add(number):
        results[number] = node.add(f"many{number}", pods[number])

    with bed.claim(f"{THRONG} ADDs at once: each pod has addresses of its own"):
        at_once(add)
        bed.equal(len(results), THRONG)
        addresses = {ip["address"] for result in results.values() for ip in result["ips"]}
        bed.equal(len(addresses), 2 * THRONG)
        bed.equal(len(node.endpoints()), 2 * THRONG)
    with bed.claim(f"{THRONG} DELs at once leave nothing"):
        at_once(lambda number: node.delete(f"many{number}", pods[number]))
        node.expect_clean(pods[0])
    node.stop()


def failing_steps():
    """With the packet path faked, so that its steps can fail."""
    node, pod = bed.Node("cni_node").start(), bed.Netns()
    with bed.claim("an endpoint that cannot be published is an error, and leaves nothing"):
        (node.state / "publish-fails").touch()
        reply = node.call("ADD", "c1", pod)
        bed.equal(reply.code(), 100)
        assert "publish-fails" in reply.document["msg"], reply.text
        (node.state / "publish-fails").unlink()
        node.expect_clean(pod)
    with bed.claim("a record that cannot be written is an error, and leaves nothing"):
        folder = node.state / "sandboxes"
        folder.rmdir()
        folder.touch()
        bed.equal(node.call("ADD", "c1", pod).code(), 5)
        folder.unlink()
        folder.mkdir()
        node.expect_clean(pod)
    with bed.claim("a DEL whose endpoint cannot be retracted is to be tried again"):
        node.add("c1", pod)
        (node.state / "retract-fails").touch()
        bed.equal(node.call("DEL", "c1", pod).code(), LATER)
        (node.state / "retract-fails").unlink()
        node.delete("c1", pod)
        node.expect_clean(pod)
    node.stop()


def exhausted():
    node = bed.Node("cni_node", ranges=["10.244.7.0/29"]).start()
    pods = [bed.Netns() for _ in range(6)]
    with bed.claim("an exhausted pool names itself, its size and its use"):
        found = {addresses(node.add(f"c{n}", pods[n]))[0] for n in range(5)}
        bed.equal(found, {f"10.244.7.{n}/32" for n in range(2, 7)})
        reply = node.call("ADD", "c5", pods[5])
        bed.equal(reply.code(), LATER)
        for word in ("10.244.7.0/29", "5 addresses", "5 used", "0 resting"):
            assert word in reply.document["msg"], reply.text
        bed.equal(node.call("STATUS").code(), UNAVAILABLE)
        bed.equal(sorted(pods[5].links()), ["lo"])
    with bed.claim("an address that still rests is used when nothing else is left, and it is told"):
        node.delete("c3", pods[3])
        bed.equal(addresses(node.add("c5", pods[5])), ["10.244.7.5/32"])
        assert "used again after" in node.log_path.read_text()
    for number in range(6):
        node.delete(f"c{number}", pods[number])
    with bed.claim("then nothing is left"):
        node.expect_clean()
    node.stop()


def main():
    bed.need(os.geteuid() == 0, "needs root")
    for kind in ("cni_node", "agent"):
        node = bed.Node(kind).start()
        for part in (restart, broken_state, away, vanish, collect, chain, crowd):
            part(node)
        node.stop()
    throng()
    failing_steps()
    exhausted()
    bed.finish()


main()
