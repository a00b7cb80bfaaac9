/* Stage REJECT: the packet is dropped and its sender told. The frame itself becomes the answer. */
#pragma once

#include <linux/tcp.h>

#include "lib/fib.h"

#define IPV4_BYTES 20
#define IPV6_BYTES 40
#define TCP_BYTES 20
#define ICMP_BYTES 8

static __always_inline __u16 checksum_fold(__u64 sum) {
  sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32 & 0xffff) + (sum >> 48);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}

/* Of the pseudo header of an answer from pkt's destination to its source. */
static __always_inline __s64 pseudo_header_sum(const struct packet* pkt, __u8 proto, __u32 length) {
  __be32 words[10] = {};
  if (pkt->ipv4) {
    words[0] = pkt->src.word[3];
    words[1] = pkt->dst.word[3];
  } else {
    __builtin_memcpy(words, &pkt->src, 16);
    __builtin_memcpy(words + 4, &pkt->dst, 16);
  }
  words[8] = bpf_htonl(length);
  words[9] = bpf_htonl(proto);
  return bpf_csum_diff(NULL, 0, words, sizeof(words), 0);
}

/* An IP header at the start of the frame, from pkt's destination to its source. */
static __always_inline bool answer_ip(struct __sk_buff* skb, const struct packet* pkt, __u8 proto,
                                      __u32 length) {
  if (pkt->ipv4) {
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = proto};
    ip.tot_len = bpf_htons(IPV4_BYTES + length);
    ip.frag_off = bpf_htons(0x4000);
    ip.saddr = pkt->dst.word[3];
    ip.daddr = pkt->src.word[3];
    ip.check = checksum_fold(bpf_csum_diff(NULL, 0, (void*)&ip, sizeof(ip), 0));
    return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) == 0;
  }
  struct ipv6hdr ip = {.version = 6, .nexthdr = proto, .hop_limit = 64};
  ip.payload_len = bpf_htons(length);
  __builtin_memcpy(&ip.saddr, &pkt->dst, 16);
  __builtin_memcpy(&ip.daddr, &pkt->src, 16);
  return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) == 0;
}

/* RFC 9293, 3.5.2: what has an ACK is answered with its number; else all of it is acknowledged. */
static __always_inline void reset_fill(const struct packet* pkt, const struct tcphdr* got,
                                       struct tcphdr* rst) {
  const __u32 headers = pkt->l4_offset - ETH_HLEN + pkt->l4_length;
  const __u32 payload = pkt->length > headers ? pkt->length - headers : 0;
  rst->source = got->dest;
  rst->dest = got->source;
  rst->doff = TCP_BYTES / 4;
  rst->rst = 1;
  if (got->ack) {
    rst->seq = got->ack_seq;
    return;
  }
  rst->ack = 1;
  rst->ack_seq = bpf_htonl(bpf_ntohl(got->seq) + payload + got->syn + got->fin);
}

static __always_inline bool answer_reset(struct __sk_buff* skb, const struct packet* pkt) {
  const __u32 ip_bytes = pkt->ipv4 ? IPV4_BYTES : IPV6_BYTES;
  struct tcphdr got;
  struct tcphdr rst = {};
  if (bpf_skb_load_bytes(skb, pkt->l4_offset, &got, sizeof(got)) || got.rst) return false;
  reset_fill(pkt, &got, &rst);
  rst.check = checksum_fold(bpf_csum_diff(NULL, 0, (void*)&rst, sizeof(rst),
                                          pseudo_header_sum(pkt, IPPROTO_TCP, TCP_BYTES)));
  return bpf_skb_change_tail(skb, ETH_HLEN + ip_bytes + TCP_BYTES, 0) == 0 &&
         answer_ip(skb, pkt, IPPROTO_TCP, TCP_BYTES) &&
         bpf_skb_store_bytes(skb, ETH_HLEN + ip_bytes, &rst, sizeof(rst), 0) == 0;
}

struct icmp_answer {
  __u8 type, code;
  __be16 check;
  __be32 rest; /* too big: the MTU */
  __u8 quote[IPV6_BYTES + 8];
};

static __always_inline void icmp_kind(const struct packet* pkt, struct icmp_answer* icmp) {
  const bool too_big = pkt->reason == WEIR_DROP_TOO_BIG;
  if (pkt->ipv4) {
    icmp->type = 3;
    icmp->code = too_big ? 4 : 3;
  } else {
    icmp->type = too_big ? 2 : 1;
    icmp->code = too_big ? 0 : 4;
  }
  if (too_big) icmp->rest = bpf_htonl(pkt->mtu);
}

/* Makes room before the packet, of which its IP header and 8 bytes stay as the quote. */
static __always_inline bool answer_icmp(struct __sk_buff* skb, const struct packet* pkt) {
  const __u32 ip_bytes = pkt->ipv4 ? IPV4_BYTES : IPV6_BYTES;
  const __u8 proto = pkt->ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  struct icmp_answer icmp = {};
  struct ethhdr eth;
  /* Options and extension headers: the ports would not be in the quote. */
  if (pkt->l4_offset != ETH_HLEN + ip_bytes) return false;
  const __u32 quote = ip_bytes + 8;
  const __u32 length = ICMP_BYTES + quote;
  if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth))) return false;
  if (pkt->ipv4 ? bpf_skb_load_bytes(skb, ETH_HLEN, icmp.quote, IPV4_BYTES + 8)
                : bpf_skb_load_bytes(skb, ETH_HLEN, icmp.quote, IPV6_BYTES + 8))
    return false;
  icmp_kind(pkt, &icmp);
  const __s64 pseudo = pkt->ipv4 ? 0 : pseudo_header_sum(pkt, proto, length);
  icmp.check = checksum_fold(bpf_csum_diff(NULL, 0, (void*)&icmp, sizeof(icmp), pseudo));
  return bpf_skb_change_tail(skb, ETH_HLEN + quote, 0) == 0 &&
         bpf_skb_change_head(skb, ip_bytes + ICMP_BYTES, 0) == 0 &&
         bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0) == 0 &&
         answer_ip(skb, pkt, proto, length) &&
         (pkt->ipv4 ? bpf_skb_store_bytes(skb, ETH_HLEN + IPV4_BYTES, &icmp,
                                          ICMP_BYTES + IPV4_BYTES + 8, 0)
                    : bpf_skb_store_bytes(skb, ETH_HLEN + IPV6_BYTES, &icmp, sizeof(icmp), 0)) == 0;
}

/* What was counted before goes after all. */
static __always_inline int unanswered(struct __sk_buff* skb) {
  skb->mark = mark_dropped(skb->mark);
  return TCX_DROP; /* counted before */
}

/* Back to where the packet came from. */
static __always_inline int answer_send(struct __sk_buff* skb, const struct packet* pkt) {
  static const __u8 link_mac[] = WEIR_LINK_MAC;
  static const __u8 tunnel_mac[] = WEIR_TUNNEL_MAC;
  struct ethhdr eth;
  mark_judged(skb);
  if (pkt->dsr) { /* the client is outside, not behind the node that handed this over */
    struct weir_ct_path path = {};
    if (fib_path(skb, skb->ifindex, pkt->ipv4, &pkt->dst, &pkt->src, &path)) return unanswered(skb);
    if (addr_is_zero(&path.next_hop)) path.next_hop = pkt->src;
    return redirect_next_hop(pkt, &path);
  }
  if (pkt->tunnelled) {
    if (!tunnel_key_set(skb, &pkt->outer_src, false) || !rewrite_l2(skb, tunnel_mac, link_mac))
      return unanswered(skb);
    return bpf_redirect(skb->ifindex, 0);
  }
  if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth)) || !rewrite_l2(skb, eth.h_source, eth.h_dest))
    return unanswered(skb);
  return bpf_redirect(skb->ifindex, pkt->hook == WEIR_HOOK_TO_NET ? BPF_F_INGRESS : 0);
}

/* The body of both REJECT stages. The drop is counted and told as the packet came in. */
static __always_inline int reject_packet(struct __sk_buff* skb, struct packet* pkt) {
  const int dropped = drop(skb, pkt, pkt->reason);
  if (!(pkt->flags & PACKET_L4) || is_icmp(pkt->proto) || pkt->hook == WEIR_HOOK_TO_POD)
    return dropped;
  const bool reset = pkt->proto == IPPROTO_TCP && pkt->reason != WEIR_DROP_TOO_BIG;
  if (!(reset ? answer_reset(skb, pkt) : answer_icmp(skb, pkt))) return dropped;
  return answer_send(skb, pkt);
}
