/* Address translation in the packet: one end gets another address and port. */
#pragma once

#include "lib/packet.h"
#include "lib/parse.h"

static __always_inline __u32 l4_check_offset(const struct packet* pkt) {
  if (pkt->proto == IPPROTO_TCP) return pkt->l4_offset + 16;
  if (pkt->proto == IPPROTO_UDP) return pkt->l4_offset + 6;
  return pkt->l4_offset + 2; /* ICMP, ICMPv6 */
}

static __always_inline bool l4_has_pseudo_header(const struct packet* pkt) {
  return pkt->proto == IPPROTO_TCP || pkt->proto == IPPROTO_UDP || pkt->proto == IPPROTO_ICMPV6;
}

/* UDP over IPv4 without a checksum stays without one. */
static __always_inline __u64 l4_check_flags(const struct packet* pkt) {
  return pkt->proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
}

/* Replaces an address: in the IP header, its checksum, and the transport's pseudo header. */
static __always_inline bool nat_address(struct __sk_buff* skb, const struct packet* pkt,
                                        bool source, const struct weir_addr* from,
                                        const struct weir_addr* to) {
  const __s64 diff = pkt->ipv4 ? bpf_csum_diff((void*)&from->word[3], 4, (void*)&to->word[3], 4, 0)
                               : bpf_csum_diff((void*)from, 16, (void*)to, 16, 0);
  if ((pkt->flags & PACKET_L4) && l4_has_pseudo_header(pkt) &&
      bpf_l4_csum_replace(skb, l4_check_offset(pkt), 0, diff,
                          BPF_F_PSEUDO_HDR | l4_check_flags(pkt)))
    return false;
  if (!pkt->ipv4)
    return bpf_skb_store_bytes(skb,
                               ETH_HLEN + (source ? offsetof(struct ipv6hdr, saddr)
                                                  : offsetof(struct ipv6hdr, daddr)),
                               to, 16, 0) == 0;
  const __u32 offset =
      ETH_HLEN + (source ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr));
  return bpf_skb_store_bytes(skb, offset, &to->word[3], 4, 0) == 0 &&
         bpf_l3_csum_replace(skb, ETH_HLEN + offsetof(struct iphdr, check), 0, diff, 0) == 0;
}

/* Replaces a port, or the identifier of an ICMP echo. */
static __always_inline bool nat_port(struct __sk_buff* skb, const struct packet* pkt, bool source,
                                     __be16 from, __be16 to) {
  if (!(pkt->flags & PACKET_L4) || from == to) return true;
  const __u32 offset = is_icmp(pkt->proto) ? pkt->l4_offset + 4 : pkt->l4_offset + (source ? 0 : 2);
  return bpf_l4_csum_replace(skb, l4_check_offset(pkt), from, to, 2 | l4_check_flags(pkt)) == 0 &&
         bpf_skb_store_bytes(skb, offset, &to, 2, 0) == 0;
}

/* Source (source = true) or destination becomes addr:port; pkt says afterwards what the wire says.
 */
SHARED int nat_rewrite(struct __sk_buff* skb, struct packet* pkt, struct weir_addr* addr,
                       __u32 port_be, __u32 source) {
  if (!pkt || !addr) return 0;
  const __be16 port = port_be;
  const struct weir_addr from = source ? pkt->src : pkt->dst;
  const struct weir_addr to = *addr;
  const __be16 from_port = source ? pkt->src_port : pkt->dst_port;
  if (!nat_port(skb, pkt, source, from_port, port) || !nat_address(skb, pkt, source, &from, &to))
    return 0;
  if (source) {
    pkt->src = to;
    pkt->src_port = port;
  } else {
    pkt->dst = to;
    pkt->dst_port = port;
  }
  return 1;
}

static __always_inline bool nat_apply(struct __sk_buff* skb, struct packet* pkt, bool source,
                                      struct weir_addr* addr, __be16 port) {
  return nat_rewrite(skb, pkt, addr, port, source);
}
