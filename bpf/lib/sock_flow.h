/* What a socket has addressed, where the socket hooks have given it a backend. */
#pragma once

#include "abi/socket.h"
#include "lib/addr.h"
#include "lib/packet.h"

/* Written by connect, read by getpeername, getsockopt, and where the connection begins. */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct weir_sock_flow);
} weir_sock_tcp SEC(".maps");

/* Written by sendmsg, read by recvmsg; the kernel holds the socket's lock around both. */
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct weir_sock_flows);
} weir_sock_udp SEC(".maps");

/* Which flow's answers come from addr:port; -1: none's. */
SHARED int flow_from(const struct weir_sock_flows* flows, const struct weir_addr* addr,
                     __u16 port) {
  if (!flows || !addr) return -1;
  for (int i = 0; i < WEIR_SOCK_FLOWS; i++) {
    const struct weir_sock_flow* flow = &flows->flow[i];
    if (flow->vip_port && flow->backend_port == port && addr_equal(&flow->backend, addr)) return i;
  }
  return -1;
}

/* The Service that a new connection's socket has addressed, though its packet does not: its id, or
 * 0. A packet bears its socket until it is in another namespace's stack. */
SHARED int sock_asked(struct __sk_buff* skb, struct packet* pkt) {
  if (!cfg.socket_services || !pkt) return 0;
  struct bpf_sock* sk = skb->sk;
  if (!sk) return 0;
  sk = bpf_sk_fullsock(sk);
  if (!sk) return 0;
  const struct weir_addr dst = pkt->dst;
  if (pkt->proto == IPPROTO_TCP) {
    const struct weir_sock_flow* flow = bpf_sk_storage_get(&weir_sock_tcp, sk, 0, 0);
    return flow && addr_equal(&flow->backend, &dst) && flow->backend_port == pkt->dst_port
               ? flow->service
               : 0;
  }
  if (pkt->proto != IPPROTO_UDP) return 0;
  const struct weir_sock_flows* flows = bpf_sk_storage_get(&weir_sock_udp, sk, 0, 0);
  int place = flows ? flow_from(flows, &dst, pkt->dst_port) : -1;
  barrier_var(place); /* else clang, who knows flow_from(), leaves out the bounds */
  return flows && place >= 0 && place < WEIR_SOCK_FLOWS ? flows->flow[place].service : 0;
}
