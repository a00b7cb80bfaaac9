/* Ethernet frame -> struct packet. Bounds are checked once per header; lengths come from skb->len.
 */
#pragma once

#include "abi/fragment.h"
#include "lib/drop.h"
#include "lib/packet.h"

/* Written here; the oldest datagrams make room. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, struct weir_frag_key);
  __type(value, struct weir_frag);
} weir_frag SEC(".maps");

#define IP_MF 0x2000
#define IP_OFFSET 0x1fff
#define IPV6_FRAG_OFFSET 0xfff8
#define IPV6_FRAG_MORE 1
#define IPV6_JUMBO 0xc204 /* type and length of the hop-by-hop option */
#define IPV6_JUMBO_BYTES 8
#define IPV6_EXTENSIONS 6 /* most headers between IPv6 and the transport */

struct ipv6_extension {
  __u8 next;
  __u8 length;
  __be16 fragment; /* fragment header only: offset << 3 | more */
  __be32 id;
};

/* Makes the first bytes of the packet linear; they are where headers can be. */
static __always_inline bool parse_reach(struct __sk_buff* skb, __u32 bytes) {
  if ((void*)(long)skb->data + bytes <= (void*)(long)skb->data_end) return true;
  if (skb->len < bytes) return false;
  return bpf_skb_pull_data(skb, bytes) == 0 &&
         (void*)(long)skb->data + bytes <= (void*)(long)skb->data_end;
}

/* Where this packet's bytes belong in its datagram. */
struct fragment {
  __be32 id;
  __u16 offset;
  __u32 end;   /* of the datagram's bytes, as the IP header says: a short frame is padded */
  __u16 begin; /* in the packet, from the Ethernet header on */
};

/* Bytes of the transport header that are always there; 0: not read. */
static __always_inline __u32 l4_bytes(const struct packet* pkt) {
  if (pkt->proto == IPPROTO_TCP) return 20;
  if (pkt->proto == IPPROTO_SCTP) return 12;
  return pkt->proto == IPPROTO_UDP || pkt->proto == (pkt->ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6) ? 8
                                                                                                : 0;
}

static __always_inline __u32 fragment_bytes(__u32 length, __u32 headers) {
  return length > headers ? length - headers : 0;
}

/* Units of 8 bytes of a datagram. */
struct frag_range {
  struct weir_frag* frag;
  __u32 from;
  __u32 to;
  bool claim; /* else it is only asked whether they are free */
  bool taken;
};

static long frag_word(__u32 i, struct frag_range* range) {
  const __u32 word = (range->from >> 6) + i;
  if (word >= WEIR_FRAG_WORDS) return 1;
  __u64 bits = ~0ULL;
  if (!i) bits <<= range->from & 63;
  const __u32 rest = range->to - (word << 6);
  if (rest < 64) bits &= ~(~0ULL << (rest & 63));
  __u64* seen = &range->frag->seen[word];
  const __u64 before = range->claim ? __sync_fetch_and_or(seen, bits) : READ_ONCE(*seen);
  range->taken = before & bits;
  return range->taken;
}

/* Who puts the datagram together may take such bytes from either. The first to come has them, and
 * what is dropped has none. */
static __always_inline enum weir_drop fragment_claim(struct weir_frag* seen,
                                                     const struct fragment* frag) {
  struct frag_range range = {.frag = seen, .from = frag->offset >> 3, .to = (frag->end + 7) >> 3};
  if (range.to > WEIR_FRAG_WORDS * 64) return WEIR_DROP_MALFORMED;
  if (range.to <= range.from) return WEIR_DROP_NONE;
  const __u32 words = ((range.to - 1) >> 6) - (range.from >> 6) + 1;
  bpf_loop(words, frag_word, &range, 0);
  range.claim = true;
  if (!range.taken) bpf_loop(words, frag_word, &range, 0);
  return range.taken ? WEIR_DROP_FRAG_OVERLAP : WEIR_DROP_NONE;
}

/* The first fragment, whose headers are read, tells; the others ask. An enum weir_drop. Not inlined
 * for the verifier's sake: fragments are rare. */
SHARED int fragment_meet(struct packet* pkt, const struct fragment* frag) {
  if (!pkt || !frag) return WEIR_DROP_RACE;
  const struct weir_frag_key key = {.src = pkt->src,
                                    .dst = pkt->dst,
                                    .id = frag->id,
                                    .in = pkt->in,
                                    .proto = pkt->ipv4 ? pkt->proto : 0};
  if (!frag->offset) {
    if (frag->end < pkt->l4_offset + l4_bytes(pkt) - frag->begin) return WEIR_DROP_MALFORMED;
    pkt->frag.src_port = pkt->src_port;
    pkt->frag.dst_port = pkt->dst_port;
    pkt->frag.proto = pkt->proto;
    bpf_map_update_elem(&weir_frag, &key, &pkt->frag, BPF_ANY);
  }
  struct weir_frag* found = bpf_map_lookup_elem(&weir_frag, &key);
  if (!found) return frag->offset ? WEIR_DROP_FRAG_NO_FIRST : WEIR_DROP_NONE;
  pkt->src_port = found->src_port;
  pkt->dst_port = found->dst_port;
  pkt->proto = found->proto;
  return pkt->again && frag->offset ? WEIR_DROP_NONE : fragment_claim(found, frag);
}

static __always_inline bool icmp_is_error(const struct packet* pkt) {
  if (pkt->proto == IPPROTO_ICMPV6) return pkt->icmp_type < 128;
  return pkt->icmp_type == 3 || pkt->icmp_type == 4 || pkt->icmp_type == 5 ||
         pkt->icmp_type == 11 || pkt->icmp_type == 12;
}

static __always_inline bool icmp_is_echo(const struct packet* pkt) {
  if (pkt->proto == IPPROTO_ICMPV6)
    return pkt->icmp_type == ICMPV6_ECHO_REQUEST || pkt->icmp_type == ICMPV6_ECHO_REPLY;
  return pkt->icmp_type == ICMP_ECHO || pkt->icmp_type == ICMP_ECHOREPLY;
}

/* The transport header, of which no more than 16 bytes are needed. */
static __always_inline enum weir_drop parse_l4(struct __sk_buff* skb, struct packet* pkt) {
  const bool tcp = pkt->proto == IPPROTO_TCP;
  const bool icmp = pkt->proto == (pkt->ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  const __u32 need = l4_bytes(pkt);
  if (!need) return WEIR_DROP_NONE;
  /* The mask is for the verifier; what it would cut off would be judged by the wrong bytes. */
  if (pkt->l4_offset > 0x1ff) return WEIR_DROP_MALFORMED;
  const __u32 offset = pkt->l4_offset & 0x1ff;
  if (!parse_reach(skb, offset + need)) return WEIR_DROP_MALFORMED;
  const __u8* l4 = (void*)(long)skb->data + offset;
  if ((void*)l4 + 8 > (void*)(long)skb->data_end) return WEIR_DROP_MALFORMED;
  pkt->flags |= PACKET_L4;
  if (icmp) {
    pkt->icmp_type = l4[0];
    pkt->icmp_code = l4[1];
    if (icmp_is_error(pkt)) pkt->flags |= PACKET_ICMP_ERROR;
    if (icmp_is_echo(pkt)) pkt->src_port = pkt->dst_port = *(__be16*)(l4 + 4);
    return WEIR_DROP_NONE;
  }
  pkt->src_port = *(__be16*)l4;
  pkt->dst_port = *(__be16*)(l4 + 2);
  if (!tcp) return WEIR_DROP_NONE;
  if ((void*)l4 + 14 > (void*)(long)skb->data_end) return WEIR_DROP_MALFORMED;
  pkt->tcp_flags = l4[13];
  pkt->l4_length = l4[12] >> 4 << 2;
  return WEIR_DROP_NONE;
}

/* Behind the IP headers. */
static __always_inline enum weir_drop parse_rest(struct __sk_buff* skb, struct packet* pkt,
                                                 const struct fragment* frag) {
  const bool fragment = pkt->flags & PACKET_FRAGMENT;
  const enum weir_drop bad = fragment && frag->offset ? WEIR_DROP_NONE : parse_l4(skb, pkt);
  return bad || !fragment ? bad : fragment_meet(pkt, frag);
}

static __always_inline enum weir_drop parse_ipv4(struct __sk_buff* skb, struct packet* pkt) {
  if (!parse_reach(skb, ETH_HLEN + sizeof(struct iphdr))) return WEIR_DROP_MALFORMED;
  const struct iphdr* ip = (void*)(long)skb->data + ETH_HLEN;
  if ((void*)(ip + 1) > (void*)(long)skb->data_end || ip->ihl < 5 || ip->version != 4)
    return WEIR_DROP_MALFORMED;
  pkt->ipv4 = 1;
  pkt->src = addr_v4(ip->saddr);
  pkt->dst = addr_v4(ip->daddr);
  pkt->proto = ip->protocol;
  pkt->ttl = ip->ttl;
  pkt->l4_offset = ETH_HLEN + ip->ihl * 4;
  const __u16 field = bpf_ntohs(ip->frag_off);
  if (field & (IP_MF | IP_OFFSET)) pkt->flags |= PACKET_FRAGMENT;
  struct fragment frag = {
      .id = ip->id, .offset = (field & IP_OFFSET) << 3, .begin = pkt->l4_offset};
  frag.end = frag.offset + fragment_bytes(bpf_ntohs(ip->tot_len), pkt->l4_offset - ETH_HLEN);
  return parse_rest(skb, pkt, &frag);
}

static __always_inline bool is_ipv6_extension(__u8 proto) {
  return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS ||
         proto == IPPROTO_FRAGMENT || proto == IPPROTO_AH;
}

static __always_inline __u32 ipv6_extension_bytes(__u8 proto, const struct ipv6_extension* header) {
  if (proto == IPPROTO_FRAGMENT) return 8;
  return proto == IPPROTO_AH ? (header->length + 2) * 4 : (header->length + 1) * 8;
}

/* Walks the extension headers. *frag: what the fragment header said. */
static __always_inline enum weir_drop parse_extensions(struct __sk_buff* skb, struct packet* pkt,
                                                       struct fragment* frag) {
  for (int i = 0; i < IPV6_EXTENSIONS; i++) {
    const __u8 proto = pkt->proto;
    if (!is_ipv6_extension(proto)) return WEIR_DROP_NONE;
    struct ipv6_extension header;
    if (pkt->l4_offset > 400 || bpf_skb_load_bytes(skb, pkt->l4_offset, &header, sizeof(header)))
      return WEIR_DROP_MALFORMED;
    if (proto == IPPROTO_HOPOPTS && !header.length && header.fragment == bpf_htons(IPV6_JUMBO))
      pkt->flags |= PACKET_JUMBO;
    pkt->proto = header.next;
    pkt->l4_offset += ipv6_extension_bytes(proto, &header);
    /* Neither offset nor more: the datagram is in one piece. */
    if (proto != IPPROTO_FRAGMENT ||
        !(header.fragment & bpf_htons(IPV6_FRAG_OFFSET | IPV6_FRAG_MORE)))
      continue;
    pkt->flags |= PACKET_FRAGMENT;
    frag->id = header.id;
    frag->offset = bpf_ntohs(header.fragment) & IPV6_FRAG_OFFSET;
    frag->begin = pkt->l4_offset;
    if (frag->offset) return WEIR_DROP_NONE;
  }
  return WEIR_DROP_MALFORMED;
}

static __always_inline enum weir_drop parse_ipv6(struct __sk_buff* skb, struct packet* pkt) {
  if (!parse_reach(skb, ETH_HLEN + sizeof(struct ipv6hdr))) return WEIR_DROP_MALFORMED;
  const struct ipv6hdr* ip = (void*)(long)skb->data + ETH_HLEN;
  if ((void*)(ip + 1) > (void*)(long)skb->data_end || ip->version != 6) return WEIR_DROP_MALFORMED;
  __builtin_memcpy(&pkt->src, &ip->saddr, 16);
  __builtin_memcpy(&pkt->dst, &ip->daddr, 16);
  /* A v4-mapped address on the wire would be taken for IPv4 by every table. */
  if (addr_is_v4(&pkt->src) || addr_is_v4(&pkt->dst)) return WEIR_DROP_MALFORMED;
  pkt->proto = ip->nexthdr;
  pkt->ttl = ip->hop_limit;
  pkt->l4_offset = ETH_HLEN + sizeof(*ip);
  const __u32 length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
  struct fragment frag = {};
  const enum weir_drop bad = parse_extensions(skb, pkt, &frag);
  frag.end = frag.offset + fragment_bytes(length, frag.begin - ETH_HLEN);
  return bad ? bad : parse_rest(skb, pkt, &frag);
}

/* REQUIRES: pkt->in is set. Fills everything but epoch, in, outer_src. On failure the packet has
 * what was read so far. again: another program has done so, and has handed the packet on. */
static __always_inline enum weir_drop parse_as(struct __sk_buff* skb, struct packet* pkt, __u8 hook,
                                               bool again) {
  pkt->again = again;
  pkt->hook = hook;
  pkt->ipv4 = 0;
  pkt->proto = 0;
  pkt->flags = 0;
  pkt->tcp_flags = 0;
  pkt->l4_length = 8;
  pkt->icmp_type = 0;
  pkt->icmp_code = 0;
  pkt->tunnelled = 0;
  pkt->dsr = 0;
  pkt->src_port = 0;
  pkt->dst_port = 0;
  pkt->src = (struct weir_addr){};
  pkt->dst = (struct weir_addr){};
  pkt->segments = skb->gso_segs > 1 ? skb->gso_segs : 1;
  pkt->length = skb->len > ETH_HLEN ? skb->len - ETH_HLEN : 0;
  pkt->largest = pkt->length;
  metric_add(pkt, WEIR_OUTCOME_IN);
  /* The kernel keeps a VLAN tag beside the packet and would send it on with it, into any VLAN. */
  if (skb->vlan_present) return WEIR_DROP_UNSUPPORTED_L3;
  const __be16 protocol = skb->protocol;
  enum weir_drop bad = WEIR_DROP_UNSUPPORTED_L3;
  if (protocol == bpf_htons(ETH_P_IP)) bad = parse_ipv4(skb, pkt);
  if (protocol == bpf_htons(ETH_P_IPV6)) bad = parse_ipv6(skb, pkt);
  /* Where no transport is read, the headers before it must be there all the same. */
  if (!bad && pkt->l4_offset > skb->len) bad = WEIR_DROP_MALFORMED;
  /* A GSO packet leaves in pieces of gso_size behind its headers, but for the jumbo one. */
  if (!bad && skb->gso_size) {
    pkt->largest = pkt->l4_offset - ETH_HLEN + pkt->l4_length + skb->gso_size;
    if (pkt->flags & PACKET_JUMBO) pkt->largest -= IPV6_JUMBO_BYTES;
  }
  return bad;
}

static __always_inline enum weir_drop parse(struct __sk_buff* skb, struct packet* pkt, __u8 hook) {
  return parse_as(skb, pkt, hook, false);
}
