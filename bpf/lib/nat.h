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
  /* SCTP's have been replaced before, by a stage of their own. */
  if (!(pkt->flags & PACKET_L4) || from == to || pkt->proto == IPPROTO_SCTP) return true;
  const __u32 offset = is_icmp(pkt->proto) ? pkt->l4_offset + 4 : pkt->l4_offset + (source ? 0 : 2);
  return bpf_l4_csum_replace(skb, l4_check_offset(pkt), from, to, 2 | l4_check_flags(pkt)) == 0 &&
         bpf_skb_store_bytes(skb, offset, &to, 2, 0) == 0;
}

/* One end becomes addr:port, where it is not. */
static __always_inline bool nat_end(struct __sk_buff* skb, struct packet* pkt, bool source,
                                    const struct weir_addr* addr, __be16 port) {
  const struct weir_addr from = source ? pkt->src : pkt->dst;
  const __be16 from_port = source ? pkt->src_port : pkt->dst_port;
  const struct weir_addr to = *addr;
  if (!nat_port(skb, pkt, source, from_port, port)) return false;
  /* The identifier of an echo is both ports. */
  if (source || is_icmp(pkt->proto)) pkt->src_port = port;
  if (!source || is_icmp(pkt->proto)) pkt->dst_port = port;
  if (addr_equal(&from, &to)) return true;
  if (!nat_address(skb, pkt, source, &from, &to)) return false;
  if (source)
    pkt->src = to;
  else
    pkt->dst = to;
  return true;
}

/* The packet gets the tuple of pkt->nat; pkt says afterwards what the wire says. */
SHARED int nat_by_helpers(struct __sk_buff* skb, struct packet* pkt) {
  if (!pkt) return 0;
  return nat_end(skb, pkt, true, &pkt->nat.src, pkt->nat.src_port) &&
         nat_end(skb, pkt, false, &pkt->nat.dst, pkt->nat.dst_port);
}

#define CHECKSUM_COMPLETE 2

struct sk_buff___summed {
  __u8 ip_summed : 2;
} __attribute__((preserve_access_index));

extern void* bpf_cast_to_kern_ctx(void* ctx) __ksym __weak;

/* CHECKSUM_*. Where the kernel does not let us look (6.1): what takes the most care. */
static __always_inline __u8 checksum_summed(struct __sk_buff* skb) {
  if (!bpf_ksym_exists(bpf_cast_to_kern_ctx)) return CHECKSUM_COMPLETE;
  const struct sk_buff___summed* kernel = bpf_cast_to_kern_ctx(skb);
  return BPF_CORE_READ_BITFIELD(kernel, ip_summed);
}

/* --- what nearly every packet is: TCP or UDP right behind the IP header ------------------------
 */

/* Checksums of changed words: the complement of what goes, and what comes. */
static __always_inline __u64 csum_change(__u64 sum, __u32 from, __u32 to) {
  return sum + (__u32)~from + to;
}

static __always_inline __u64 csum_change_addr(__u64 sum, bool ipv4, const struct weir_addr* from,
                                              const struct weir_addr* to) {
  sum = csum_change(sum, from->word[3], to->word[3]);
  if (ipv4) return sum;
  for (int i = 0; i < 3; i++) sum = csum_change(sum, from->word[i], to->word[i]);
  return sum;
}

static __always_inline __u32 csum_fold32(__u64 sum) {
  sum = (__u32)sum + (sum >> 32);
  return (__u32)sum + (__u32)(sum >> 32);
}

static __always_inline __u16 csum_fold16(__u32 sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  return (__u16)(sum + (sum >> 16));
}

static __always_inline __u32 plain_l4_offset(bool ipv4) {
  return ETH_HLEN + (ipv4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

static __always_inline bool is_plain(const struct packet* pkt) {
  return (pkt->flags & PACKET_L4) && (pkt->proto == IPPROTO_TCP || pkt->proto == IPPROTO_UDP) &&
         pkt->l4_offset == plain_l4_offset(pkt->ipv4);
}

/* Checksums of all that changes. */
struct plain_change {
  __u32 addresses;
  __u32 ports;
};

static __always_inline struct plain_change plain_change(const struct packet* pkt) {
  const __u64 source = csum_change_addr(0, pkt->ipv4, &pkt->src, &pkt->nat.src);
  const __u64 both = csum_change_addr(source, pkt->ipv4, &pkt->dst, &pkt->nat.dst);
  const __u32 from = pkt->src_port | (__u32)pkt->dst_port << 16;
  const __u32 to = pkt->nat.src_port | (__u32)pkt->nat.dst_port << 16;
  return (struct plain_change){.addresses = csum_fold32(both),
                               .ports = csum_fold32(csum_change(0, from, to))};
}

/* The transport's checksum, of which all is summed up, or the pseudo header alone, uninverted. Zero
 * in UDP: there is none. No branches: the verifier would walk the rest of the program for each. */
static __always_inline __u16 plain_check(__u16 check, bool udp, __u8 summed,
                                         struct plain_change change) {
  if (udp && !check) return 0;
  const __u32 partial = summed & (summed >> 1) & 1; /* CHECKSUM_PARTIAL is 3 */
  const __u32 whole = partial - 1;
  const __u64 sum = ((check ^ whole) & 0xffff) + (__u64)change.addresses + (change.ports & whole);
  const __u16 out = csum_fold16(csum_fold32(sum)) ^ (__u16)whole;
  return udp && !out ? 0xffff : out;
}

/* All but the transport's checksum, of the frame [data, end). False: the header is beyond it. */
static __always_inline bool plain_write(void* data, void* end, const struct packet* pkt,
                                        __u32 addresses) {
  __be16* ports = data + plain_l4_offset(pkt->ipv4);
  if ((void*)(ports + 2) > end) return false;
  ports[0] = pkt->nat.src_port;
  ports[1] = pkt->nat.dst_port;
  if (pkt->ipv4) {
    struct iphdr* header = data + ETH_HLEN;
    header->saddr = pkt->nat.src.word[3];
    header->daddr = pkt->nat.dst.word[3];
    header->check = ~csum_fold16(csum_fold32((__u64)addresses + (__u16)~header->check));
    return true;
  }
  struct ipv6hdr* header = data + ETH_HLEN;
  __builtin_memcpy(&header->saddr, &pkt->nat.src, sizeof(header->saddr));
  __builtin_memcpy(&header->daddr, &pkt->nat.dst, sizeof(header->daddr));
  return true;
}

static __always_inline bool plain_write_check(void* data, void* end, const struct packet* pkt,
                                              __u8 summed, struct plain_change change) {
  const bool udp = pkt->proto == IPPROTO_UDP;
  __u16* check = data + plain_l4_offset(pkt->ipv4) + (udp ? 6 : 16);
  if ((void*)(check + 1) > end) return false;
  *check = plain_check(*check, udp, summed, change);
  return true;
}

/* Where the card has summed up the whole packet, the kernel keeps that sum right. */
SHARED int plain_help_check(struct __sk_buff* skb, const struct packet* pkt, __u32 addresses,
                            __u32 ports) {
  if (!pkt) return 0;
  const __u32 at = l4_check_offset(pkt);
  const __u64 flags = l4_check_flags(pkt);
  return bpf_l4_csum_replace(skb, at, 0, addresses, BPF_F_PSEUDO_HDR | flags) == 0 &&
         bpf_l4_csum_replace(skb, at, 0, ports, flags) == 0;
}

/* A helper for each field costs more than all the rest. False: nothing is changed. */
static __always_inline bool plain_apply(struct __sk_buff* skb, struct packet* pkt) {
  const struct plain_change change = plain_change(pkt);
  const __u8 summed = checksum_summed(skb);
  if (!(summed == CHECKSUM_COMPLETE
            ? plain_help_check(skb, pkt, change.addresses, change.ports)
            : plain_write_check((void*)(long)skb->data, (void*)(long)skb->data_end, pkt, summed,
                                change)))
    return false;
  if (!plain_write((void*)(long)skb->data, (void*)(long)skb->data_end, pkt, change.addresses))
    return false;
  pkt->src = pkt->nat.src;
  pkt->dst = pkt->nat.dst;
  pkt->src_port = pkt->nat.src_port;
  pkt->dst_port = pkt->nat.dst_port;
  return true;
}

/* The same for packets of known connections, in place where that can be done. */
static __always_inline bool nat_apply(struct __sk_buff* skb, struct packet* pkt) {
  return (is_plain(pkt) && plain_apply(skb, pkt)) || nat_by_helpers(skb, pkt);
}
