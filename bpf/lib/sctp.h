/* Stage SCTP: a translated SCTP packet gets its ports, then leaves like any other.
 * SCTP's checksum is a CRC32c over all of its packet, which a program cannot read in one piece. But
 * a CRC is linear: what changing the ports does to it depends on the change and on how many bytes
 * follow, not on the bytes. */
#pragma once

#include "lib/output.h"

#define SCTP_HEADER 12
#define SCTP_CHECK 8
#define CRC32C_POLY 0x82f63b78U /* reflected, as the ones below */
#define CRC32C_ONE 0x80000000U

/* x^(8 * 2^i) modulo the polynomial, reflected: multiplies by 2^i zero bytes. */
static const __u32 crc32c_zeros[16] = {
    0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955, 0xb8fdb1e7,
    0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564, 0xbf455269, 0xe2ea32dc,
};

/* Without branches: the verifier looks at the one way there is. */
static __always_inline __u32 crc32c_times_x(__u32 a) { return (a >> 1) ^ (CRC32C_POLY & -(a & 1)); }

static __always_inline __u32 crc32c_multiply(__u32 a, __u32 b) {
  __u32 product = 0;
  for (int i = 0; i < 32; i++) {
    product ^= b & -(a >> 31);
    a <<= 1;
    b = crc32c_times_x(b);
  }
  return product;
}

/* What the CRC changes by when the first word of `length` bytes changes by `delta` (both as read
 * from the wire into a little-endian word). */
static __always_inline __u32 crc32c_of_change(__u32 delta, __u32 length) {
  const __u32 zeros = length - 4;
  __u32 crc = delta;
  for (int i = 0; i < 32; i++) crc = crc32c_times_x(crc);
  for (int i = 0; i < 16; i++) {
    const __u32 wanted = -(zeros >> i & 1);
    crc = crc32c_multiply((crc32c_zeros[i] & wanted) | (CRC32C_ONE & ~wanted), crc);
  }
  return crc;
}

/* Bytes of the SCTP packet: what the IP header says, for a frame may have padding behind it. */
static __always_inline __u32 sctp_length(struct __sk_buff* skb, const struct packet* pkt) {
  __be16 told = 0;
  const __u32 at = ETH_HLEN + (pkt->ipv4 ? offsetof(struct iphdr, tot_len)
                                         : offsetof(struct ipv6hdr, payload_len));
  if (bpf_skb_load_bytes(skb, at, &told, sizeof(told))) return 0;
  const __u32 end = ETH_HLEN + (pkt->ipv4 ? 0 : sizeof(struct ipv6hdr)) + bpf_ntohs(told);
  return end >= pkt->l4_offset + SCTP_HEADER && end <= skb->len ? end - pkt->l4_offset : 0;
}

/* Both ports become those of pkt->nat. A fragment's checksum cannot be mended: its rest is
 * elsewhere.
 */
static __always_inline bool sctp_ports(struct __sk_buff* skb, struct packet* pkt) {
  if (!(pkt->flags & PACKET_L4)) return true;
  __be16 old[2], ports[2] = {pkt->nat.src_port, pkt->nat.dst_port};
  __u32 before, after, check;
  if (bpf_skb_load_bytes(skb, pkt->l4_offset, old, sizeof(old))) return false;
  __builtin_memcpy(&before, old, sizeof(before));
  __builtin_memcpy(&after, ports, sizeof(after));
  if (before == after) return true;
  const __u32 length = sctp_length(skb, pkt);
  if (!length || (pkt->flags & PACKET_FRAGMENT) ||
      bpf_skb_load_bytes(skb, pkt->l4_offset + SCTP_CHECK, &check, sizeof(check)))
    return false;
  check ^= crc32c_of_change(before ^ after, length);
  pkt->src_port = ports[0];
  pkt->dst_port = ports[1];
  return bpf_skb_store_bytes(skb, pkt->l4_offset, ports, sizeof(ports), 0) == 0 &&
         bpf_skb_store_bytes(skb, pkt->l4_offset + SCTP_CHECK, &check, sizeof(check), 0) == 0;
}

/* The body of both SCTP stages. Where to is in pkt->paths.there. */
static __always_inline int sctp_translate(struct __sk_buff* skb, struct packet* pkt, bool ingress) {
  if (!sctp_ports(skb, pkt) || !nat_by_helpers(skb, pkt)) return drop(skb, pkt, WEIR_DROP_REWRITE);
  return output(skb, pkt, &pkt->paths.there, ingress);
}
