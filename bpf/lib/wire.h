/* Frames as XDP has them: what is read of them, and the tunnel's headers, taken off and put on. */
#pragma once

#include "lib/output.h"

/* --- reading ---------------------------------------------------------------------------------- */

#define WIRE_OUTER_IPV4 50 /* Ethernet 14, IPv4 20, UDP 8, VXLAN 8 */
#define WIRE_OUTER_IPV6 70
#define VXLAN_HAS_VNI 0x08000000

struct wire_udp {
  __be16 src_port;
  __be16 dst_port;
  __be16 length;
  __be16 check;
};

struct wire_vxlan {
  __be32 flags;
  __be32 vni; /* << 8 */
};

static __always_inline bool wire_l4(struct packet* pkt, const void* l4, const void* end,
                                    __u32 length) {
  const bool tcp = pkt->proto == IPPROTO_TCP;
  if (!tcp && pkt->proto != IPPROTO_UDP) return false;
  if (l4 + sizeof(struct wire_udp) > end || length < (tcp ? 20 : 8)) return false;
  pkt->src_port = *(const __be16*)l4;
  pkt->dst_port = *(const __be16*)(l4 + 2);
  pkt->flags = PACKET_L4;
  pkt->tcp_flags = 0;
  if (!tcp) {
    pkt->summed &= *(const __be16*)(l4 + 6) != 0;
    return true;
  }
  if (l4 + 20 > end) return false;
  pkt->tcp_flags = *(const __u8*)(l4 + 13);
  return true;
}

static __always_inline bool wire_ipv4(struct packet* pkt, const struct iphdr* ip, const void* end) {
  if ((const void*)(ip + 1) > end || *(const __u8*)ip != 0x45) return false;
  const __u32 length = bpf_ntohs(ip->tot_len);
  if ((bpf_ntohs(ip->frag_off) & (IP_MF | IP_OFFSET)) || length < sizeof(*ip) ||
      length > pkt->length)
    return false;
  pkt->ipv4 = 1;
  pkt->src = addr_v4(ip->saddr);
  pkt->dst = addr_v4(ip->daddr);
  pkt->proto = ip->protocol;
  pkt->ttl = ip->ttl;
  pkt->ecn = ip->tos & 3;
  pkt->summed = length == pkt->length;
  return wire_l4(pkt, ip + 1, end, length - sizeof(*ip));
}

static __always_inline bool wire_ipv6(struct packet* pkt, const struct ipv6hdr* ip,
                                      const void* end) {
  if ((const void*)(ip + 1) > end || ip->version != 6) return false;
  const __u32 length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
  if (length > pkt->length) return false;
  pkt->ipv4 = 0;
  __builtin_memcpy(&pkt->src, &ip->saddr, 16);
  __builtin_memcpy(&pkt->dst, &ip->daddr, 16);
  if (addr_is_v4(&pkt->src) || addr_is_v4(&pkt->dst)) return false;
  pkt->proto = ip->nexthdr;
  pkt->ttl = ip->hop_limit;
  pkt->ecn = ip->flow_lbl[0] >> 4 & 3;
  pkt->summed = length == pkt->length;
  return wire_l4(pkt, ip + 1, end, length - sizeof(*ip));
}

/* The frame that begins at byte `at`: TCP or UDP right behind the IP header, whole. 0: another. */
SHARED int wire_headers(struct xdp_md* ctx, struct packet* pkt, __u32 at) {
  if (!pkt || at > WIRE_OUTER_IPV6) return 0;
  const void* end = (void*)(long)ctx->data_end;
  const struct ethhdr* eth = (void*)(long)ctx->data + at;
  if ((const void*)(eth + 1) > end) return 0;
  const __u32 bytes = bpf_xdp_get_buff_len(ctx);
  pkt->length = bytes - at - ETH_HLEN;
  pkt->largest = pkt->length;
  if (eth->h_proto == bpf_htons(ETH_P_IP)) return wire_ipv4(pkt, (void*)(eth + 1), end);
  return eth->h_proto == bpf_htons(ETH_P_IPV6) && wire_ipv6(pkt, (void*)(eth + 1), end);
}

/* Behind the outer headers that pkt has: our tunnel's, for this node? Fills outer_src. */
static __always_inline bool wire_is_tunnelled(struct xdp_md* ctx, struct packet* pkt,
                                              const struct weir_device* tunnel) {
  const struct weir_addr own = pkt->ipv4 ? tunnel->v4 : tunnel->v6;
  if (!addr_equal(&own, &pkt->dst)) return false;
  const struct wire_vxlan* vxlan =
      (void*)(long)ctx->data + plain_l4_offset(pkt->ipv4) + sizeof(struct wire_udp);
  if ((void*)(vxlan + 1) > (void*)(long)ctx->data_end) return false;
  pkt->outer_src = pkt->src;
  /* A mark of congestion is for the stack to carry inside. */
  return vxlan->flags == bpf_htonl(VXLAN_HAS_VNI) && vxlan->vni == bpf_htonl(cfg.tunnel_vni << 8) &&
         pkt->ecn != 3;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* The packet gets the tuple of pkt->nat, and loses a hop. */
static __always_inline bool wire_rewrite(struct xdp_md* ctx, const struct packet* pkt,
                                         const __u8* dst_mac, const __u8* src_mac) {
  void* data = (void*)(long)ctx->data;
  void* end = (void*)(long)ctx->data_end;
  const struct plain_change change = plain_change(pkt);
  return plain_write_check(data, end, pkt, 0, change) &&
         plain_write(data, end, pkt, change.addresses) &&
         frame_l2_ttl(data, end, pkt->ipv4, dst_mac, src_mac);
}

static __always_inline __u64 wire_sum(__u64 sum, const __u32* word, int words) {
  for (int i = 0; i < words; i++) sum += word[i];
  return sum;
}

/* Of the frame at ctx->data, whose transport's checksum is right and covers the rest of it: the
 * transport adds up to what its pseudo header lacks. */
static __always_inline bool wire_frame_sum(struct xdp_md* ctx, const struct packet* pkt,
                                           __u64* sum) {
  const void* data = (void*)(long)ctx->data;
  const void* end = (void*)(long)ctx->data_end;
  const __be16* eth = data;
  if (data + ETH_HLEN + sizeof(struct iphdr) > end) return false;
  for (int i = 0; i < ETH_HLEN / 2; i++) *sum += eth[i];
  __u32 length = bpf_ntohs(((const struct iphdr*)(data + ETH_HLEN))->tot_len);
  if (pkt->ipv4) { /* its header adds up to nothing */
    length -= sizeof(struct iphdr);
    *sum += (__u32)~pkt->nat.src.word[3];
    *sum += (__u32)~pkt->nat.dst.word[3];
  } else { /* the addresses of both headers make nothing together */
    const struct ipv6hdr* ip6 = data + ETH_HLEN;
    if ((const void*)(ip6 + 1) > end) return false;
    length = bpf_ntohs(ip6->payload_len);
    *sum = wire_sum(*sum, (const __u32*)ip6, 2);
  }
  *sum += (__u32)~bpf_htonl(length);
  *sum += (__u32)~bpf_htonl((__u32)pkt->proto);
  return true;
}

struct wire_inside {
  struct wire_udp udp;
  struct wire_vxlan vxlan;
};

struct wire_outer_ipv4 {
  struct ethhdr eth;
  struct iphdr ip;
  struct wire_inside in;
} __attribute__((packed));
_Static_assert(sizeof(struct wire_outer_ipv4) == WIRE_OUTER_IPV4, "no holes");

struct wire_outer_ipv6 {
  struct ethhdr eth;
  struct ipv6hdr ip;
  struct wire_inside in;
} __attribute__((packed));
_Static_assert(sizeof(struct wire_outer_ipv6) == WIRE_OUTER_IPV6, "no holes");

/* What the tunnel's headers say besides addresses. */
struct wire_tunnel {
  __be32 vni;      /* << 8 */
  __be16 src_port; /* spreads connections over queues and ways */
  __be16 id;
  __u8 ecn;
};

static __always_inline struct wire_inside wire_inside(const struct wire_tunnel* tunnel,
                                                      __u32 frame) {
  return (struct wire_inside){
      .udp = {.src_port = tunnel->src_port,
              .dst_port = bpf_htons(cfg.tunnel_port),
              .length = bpf_htons((__u16)(sizeof(struct wire_inside) + frame))},
      .vxlan = {.flags = bpf_htonl(VXLAN_HAS_VNI), .vni = tunnel->vni}};
}

static __always_inline void wire_link(struct ethhdr* eth, const __u8* dst_mac, const __u8* src_mac,
                                      __u16 protocol) {
  __builtin_memcpy(eth->h_dest, dst_mac, ETH_ALEN);
  __builtin_memcpy(eth->h_source, src_mac, ETH_ALEN);
  eth->h_proto = bpf_htons(protocol);
}

/* As the kernel's tunnel device does it: without a checksum, for all inside has one. */
static __always_inline bool wire_wrap_ipv4(struct xdp_md* ctx, const struct wire_tunnel* tunnel,
                                           __be32 src, __be32 dst, const __u8* dst_mac,
                                           const __u8* src_mac) {
  const __u32 frame = bpf_xdp_get_buff_len(ctx);
  struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP};
  ip.tos = tunnel->ecn;
  ip.id = tunnel->id;
  ip.tot_len = bpf_htons((__u16)(WIRE_OUTER_IPV4 - ETH_HLEN + frame));
  ip.saddr = src;
  ip.daddr = dst;
  ip.check = ~csum_fold16(csum_fold32(wire_sum(0, (const __u32*)&ip, sizeof(ip) / 4)));
  if (bpf_xdp_adjust_head(ctx, -WIRE_OUTER_IPV4)) return false;
  struct wire_outer_ipv4* outer = (void*)(long)ctx->data;
  if ((void*)(outer + 1) > (void*)(long)ctx->data_end) return false;
  wire_link(&outer->eth, dst_mac, src_mac, ETH_P_IP);
  outer->ip = ip;
  outer->in = wire_inside(tunnel, frame);
  return true;
}

/* IPv6 wants a checksum (RFC 8200); it is known without looking at what is inside. */
static __always_inline bool wire_wrap_ipv6(struct xdp_md* ctx, const struct packet* pkt,
                                           const struct wire_tunnel* tunnel,
                                           const struct weir_addr* src, const struct weir_addr* dst,
                                           const __u8* dst_mac, const __u8* src_mac) {
  const __u32 frame = bpf_xdp_get_buff_len(ctx);
  struct wire_inside in = wire_inside(tunnel, frame);
  __u64 sum = 0;
  if (!wire_frame_sum(ctx, pkt, &sum)) return false;
  sum = wire_sum(sum, (const __u32*)&in, sizeof(in) / 4);
  sum = wire_sum(wire_sum(sum, src->word, 4), dst->word, 4);
  sum += (__u64)in.udp.length + bpf_htons(IPPROTO_UDP);
  const __u16 check = ~csum_fold16(csum_fold32(sum));
  in.udp.check = check ? check : 0xffff;
  if (bpf_xdp_adjust_head(ctx, -WIRE_OUTER_IPV6)) return false;
  struct wire_outer_ipv6* outer = (void*)(long)ctx->data;
  if ((void*)(outer + 1) > (void*)(long)ctx->data_end) return false;
  wire_link(&outer->eth, dst_mac, src_mac, ETH_P_IPV6);
  outer->ip = (struct ipv6hdr){.version = 6, .nexthdr = IPPROTO_UDP, .hop_limit = 64};
  outer->ip.flow_lbl[0] = tunnel->ecn << 4;
  outer->ip.payload_len = in.udp.length;
  __builtin_memcpy(&outer->ip.saddr, src, 16);
  __builtin_memcpy(&outer->ip.daddr, dst, 16);
  outer->in = in;
  return true;
}
