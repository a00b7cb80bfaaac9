/* Which of this host's own packets a Service concerns. */
#pragma once

#include "lib/resolve.h"
#include "lib/sock_flow.h"

static __always_inline bool is_loopback_packet(const struct __sk_buff* skb) {
  const void* end = (void*)(long)skb->data_end;
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    const struct iphdr* ip = (void*)(long)skb->data + ETH_HLEN;
    return (void*)(ip + 1) > end || (bpf_ntohl(ip->daddr) >> 24) == 127;
  }
  if (skb->protocol != bpf_htons(ETH_P_IPV6)) return true;
  const struct ipv6hdr* ip = (void*)(long)skb->data + ETH_HLEN;
  if ((void*)(ip + 1) > end) return true;
  const __be32* word = (const __be32*)&ip->daddr;
  return (word[0] | word[1] | word[2]) == 0 && word[3] == bpf_htonl(1);
}

/* Of a Service's connection: an answer of this host as a backend, or from a socket of its own. */
static __always_inline bool host_is_known(const struct packet* pkt) {
  const struct weir_ct* ct = ct_lookup(&pkt->key);
  if (!ct || !READ_ONCE(ct->service)) return false;
  const struct weir_ct_path* path = pkt->from_hi ? &ct->path[1] : &ct->path[0];
  return path->set && path->in_ifindex == WEIR_CT_IN_HOST;
}

/* In the range of ClusterIPs, which leads nowhere. */
static __always_inline bool is_to_services(struct packet* pkt) {
  return route_lookup(&pkt->dst, &pkt->to.route) && pkt->to.route.kind == WEIR_ROUTE_SERVICES;
}

/* Fills pkt->key. NodePorts of this host's own addresses are met on its loopback link. */
static __always_inline bool host_meets_service(struct __sk_buff* skb, struct packet* pkt) {
  if (pkt->flags & PACKET_ICMP_ERROR || !has_ports(pkt)) return false;
  pkt->from_hi =
      ct_key_fill(&pkt->key, &pkt->src, pkt->src_port, &pkt->dst, pkt->dst_port, pkt->proto);
  if (host_is_known(pkt)) return true;
  if (service_find(&pkt->dst, pkt->dst_port, pkt->proto, skb->ifindex == LOOPBACK_IFINDEX, true,
                   &pkt->service))
    return true;
  /* Who opens a connection is told that there is no such Service; or it counts for the one that its
   * socket has addressed. */
  const bool opens = pkt->proto != IPPROTO_TCP || (pkt->tcp_flags & TCP_SYN);
  return opens && (is_to_services(pkt) || sock_asked(skb, pkt));
}
