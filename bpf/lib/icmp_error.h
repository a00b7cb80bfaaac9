/* Stage ICMP_ERROR: an error belongs to the connection whose packet it quotes, and goes to the one
 * who sent that packet. Translated connections have the quote translated back, too. */
#pragma once

#include "lib/connect.h"

struct quoted {
  struct weir_addr src, dst;
  __be16 src_port, dst_port;
  __u32 ip_offset, l4_offset; /* from the Ethernet header on */
  __u8 proto;
};

#define QUOTED_EXTENSIONS 3 /* of the headers that parse_extensions() walks; a quote is short */

/* To the transport header, behind IPv6's extension headers. False: there is none, or it is further
 * than we look. */
static __always_inline bool quoted_transport(struct __sk_buff* skb, struct quoted* q) {
  for (int i = 0; i < QUOTED_EXTENSIONS && is_ipv6_extension(q->proto); i++) {
    struct ipv6_extension header;
    if (bpf_skb_load_bytes(skb, q->l4_offset, &header, sizeof(header))) return false;
    if (q->proto == IPPROTO_FRAGMENT && (header.fragment & bpf_htons(IPV6_FRAG_OFFSET)))
      return false;
    q->l4_offset += ipv6_extension_bytes(q->proto, &header);
    q->proto = header.next;
  }
  return !is_ipv6_extension(q->proto);
}

static __always_inline bool quoted_parse(struct __sk_buff* skb, const struct packet* pkt,
                                         struct quoted* q) {
  q->ip_offset = pkt->l4_offset + 8;
  if (pkt->ipv4) {
    struct iphdr ip;
    if (bpf_skb_load_bytes(skb, q->ip_offset, &ip, sizeof(ip)) || ip.ihl < 5 ||
        (ip.frag_off & bpf_htons(IP_OFFSET)))
      return false; /* a later fragment has no transport header */
    q->src = addr_v4(ip.saddr);
    q->dst = addr_v4(ip.daddr);
    q->proto = ip.protocol;
    q->l4_offset = q->ip_offset + ip.ihl * 4;
  } else {
    struct ipv6hdr ip;
    if (bpf_skb_load_bytes(skb, q->ip_offset, &ip, sizeof(ip))) return false;
    __builtin_memcpy(&q->src, &ip.saddr, 16);
    __builtin_memcpy(&q->dst, &ip.daddr, 16);
    q->proto = ip.nexthdr;
    q->l4_offset = q->ip_offset + sizeof(ip);
    if (!quoted_transport(skb, q)) return false;
  }
  __be16 ports[4];
  if (bpf_skb_load_bytes(skb, q->l4_offset, ports, sizeof(ports))) return false;
  const bool echo = is_icmp(q->proto);
  const bool has_ports = proto_has_ports(q->proto);
  q->src_port = echo ? ports[2] : has_ports ? ports[0] : 0;
  q->dst_port = echo ? ports[2] : has_ports ? ports[1] : 0;
  return true;
}

/* Stores a new value inside the ICMP payload and mends the ICMP checksum, which covers it. */
static __always_inline bool quoted_store(struct __sk_buff* skb, const struct packet* pkt,
                                         __u32 offset, const void* from, const void* to,
                                         __u32 size) {
  const __s64 diff = size == 2 ? 0 : bpf_csum_diff((void*)from, size, (void*)to, size, 0);
  const __u32 check = pkt->l4_offset + 2;
  const long err = size == 2 ? bpf_l4_csum_replace(skb, check, *(__be16*)from, *(__be16*)to, 2)
                             : bpf_l4_csum_replace(skb, check, 0, diff, 0);
  return err == 0 && bpf_skb_store_bytes(skb, offset, to, size, 0) == 0;
}

/* The quoted packet's own checksums: the IPv4 header's is mended with it, so that the ICMP checksum
 * over both stays as it was; the transport's is left, nobody checks it in a quote. */
static __always_inline bool quoted_address(struct __sk_buff* skb, const struct packet* pkt,
                                           const struct quoted* q, bool source,
                                           const struct weir_addr* to) {
  const struct weir_addr from = source ? q->src : q->dst;
  const struct weir_addr new = *to;
  if (!pkt->ipv4)
    return quoted_store(
        skb, pkt,
        q->ip_offset + (source ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr)),
        &from, &new, 16);
  const __s64 diff = bpf_csum_diff((void*)&from.word[3], 4, (void*)&new.word[3], 4, 0);
  const __u32 offset =
      q->ip_offset + (source ? offsetof(struct iphdr, saddr) : offsetof(struct iphdr, daddr));
  return bpf_l3_csum_replace(skb, q->ip_offset + offsetof(struct iphdr, check), 0, diff, 0) == 0 &&
         bpf_skb_store_bytes(skb, offset, &new.word[3], 4, 0) == 0;
}

static __always_inline bool quoted_port(struct __sk_buff* skb, const struct packet* pkt,
                                        const struct quoted* q, bool source, __be16 to) {
  const __be16 from = source ? q->src_port : q->dst_port;
  const __u32 offset = q->l4_offset + (is_icmp(q->proto) ? 4 : source ? 0 : 2);
  return from == to || quoted_store(skb, pkt, offset, &from, &to, 2);
}

/* The error about a translated packet, as its real sender must see it. pkt->nat is how packets of
 * the error's own direction are translated; the quoted one went the other way. */
static __always_inline bool error_translate(struct __sk_buff* skb, struct packet* pkt,
                                            const struct quoted* q) {
  const struct nat nat = pkt->nat;
  if (!quoted_port(skb, pkt, q, true, nat.dst_port) ||
      !quoted_address(skb, pkt, q, true, &nat.dst) ||
      (!is_icmp(q->proto) && !quoted_port(skb, pkt, q, false, nat.src_port)) ||
      !quoted_address(skb, pkt, q, false, &nat.src))
    return false;
  /* A router's complaint keeps the router's address. */
  if (!addr_equal(&pkt->src, &q->dst)) pkt->nat.src = pkt->src;
  pkt->nat.src_port = pkt->src_port;
  pkt->nat.dst_port = pkt->dst_port;
  return nat_by_helpers(skb, pkt);
}

static __always_inline int icmp_unrelated(struct __sk_buff* skb, const struct packet* pkt,
                                          bool ingress) {
  /* The host may tell its own pods what it wants, and hear what the network has for it. */
  if (!ingress) return forward(skb, pkt, WEIR_OUT_LOCAL, TCX_NEXT);
  struct weir_route route;
  if (pkt->hook == WEIR_HOOK_FROM_NET &&
      (!route_lookup(&pkt->dst, &route) || route.kind == WEIR_ROUTE_HOST ||
       route.kind == WEIR_ROUTE_OUTSIDE))
    return to_stack(skb, pkt);
  return drop(skb, pkt, WEIR_DROP_ICMP_UNRELATED);
}

/* Who may complain: a pod of what was sent to it, for it is no router; from the network any router,
 * but nobody with the address of a pod that is not there. */
static __always_inline enum weir_drop error_source(const struct __sk_buff* skb, struct packet* pkt,
                                                   const struct quoted* q) {
  const struct end* from = &pkt->from;
  const enum weir_drop bad = end_find(&pkt->src, &pkt->from);
  if (bad) return bad;
  if (pkt->hook == WEIR_HOOK_FROM_POD) {
    const bool own = from->local && from->ep.ifindex == skb->ifindex;
    return own && addr_equal(&q->dst, &pkt->src) ? WEIR_DROP_NONE : WEIR_DROP_SPOOFED;
  }
  if (pkt->tunnelled && !from->local && from->kind == WEIR_ROUTE_OUTSIDE) return WEIR_DROP_NONE;
  return source_check_net(pkt);
}

/* Towards the sender of the quoted packet; each half of a translated pair has one path only, the
 * one of its own packets, which the quoted one was not. */
static __always_inline enum weir_drop error_path(const struct weir_ct* ct, __u64 id, bool quote_hi,
                                                 struct weir_ct_path* path) {
  const __u64 epoch = READ_ONCE(ct->epoch);
  if (!epoch || ct_read_path(ct, id, epoch, !quote_hi, path) != CT_GOOD) return WEIR_DROP_RACE;
  return WEIR_DROP_NONE;
}

/* The entry may be of an older epoch: the pod is where it is now. */
static __always_inline enum weir_drop error_follow(struct packet* pkt, const struct weir_addr* pod,
                                                   struct weir_ct_path* path) {
  if (path->out != WEIR_OUT_LOCAL) return WEIR_DROP_NONE;
  const enum weir_drop bad = end_find(pod, &pkt->to);
  if (bad) return bad;
  if (!pkt->to.local) return WEIR_DROP_POD_UNKNOWN;
  path_to_endpoint(path, &pkt->to.ep);
  return WEIR_DROP_NONE;
}

static __always_inline int icmp_error(struct __sk_buff* skb, struct packet* pkt, bool ingress) {
  struct quoted q;
  if (!quoted_parse(skb, pkt, &q)) return icmp_unrelated(skb, pkt, ingress);
  enum weir_drop bad = ingress ? error_source(skb, pkt, &q) : WEIR_DROP_NONE;
  if (bad) return drop(skb, pkt, bad);
  const bool quote_hi = ct_key_fill(&pkt->key, &q.src, q.src_port, &q.dst, q.dst_port, q.proto);
  struct weir_ct* ct = ct_lookup(&pkt->key);
  const __u64 id = weir_ct_id(&pkt->key);
  if (!ct || READ_ONCE(ct->id) != id) return icmp_unrelated(skb, pkt, ingress);
  const __u32 flags = READ_ONCE(ct->flags);
  const bool translated = flags & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY);
  struct weir_ct_path path;
  bad = error_path(ct, id, quote_hi, &path);
  if (bad) return drop(skb, pkt, bad);
  /* To the host or from it: only about a connection of the host. */
  if (!path.set || (!ingress && path.in_ifindex != pkt->in))
    return icmp_unrelated(skb, pkt, ingress);
  struct weir_addr to = pkt->dst;
  if (translated) {
    ct_nat(ct, flags, &pkt->nat);
    to = pkt->nat.dst;
  }
  if (ingress) {
    bad = error_follow(pkt, &to, &path);
    if (bad) return drop(skb, pkt, bad);
    if (stack_answers(pkt, &path, ingress)) return drop(skb, pkt, WEIR_DROP_TTL);
  }
  /* Last, so that what is dropped is told as it came in. */
  if (translated && !error_translate(skb, pkt, &q)) return drop(skb, pkt, WEIR_DROP_REWRITE);
  return output(skb, pkt, &path, ingress);
}
