#pragma once

#include "abi/capture.h"
#include "abi/drops.h"
#include "lib/packet.h"
#include "lib/state.h"

/* Which packets are wanted. Written by the agent before it sets weir_state.capture_on. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct weir_capture_filter);
} weir_capture_f SEC(".maps");

/* struct weir_captured, then the bytes. Read by the agent while a capture runs. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1048576);
} weir_capture SEC(".maps");

struct capture_record {
  struct weir_captured head;
  __u8 bytes[WEIR_CAPTURE_SNAP];
};

/* Rooms for one record per CPU: a ring reservation must have a constant size, and snap is not. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct capture_record);
} weir_capture_b SEC(".maps");

static __always_inline bool capture_end_matches(const struct weir_addr* want, __be16 want_port,
                                                const struct weir_addr* addr, __be16 port) {
  return (addr_is_zero(want) || addr_equal(want, addr)) && (!want_port || want_port == port);
}

static __always_inline bool capture_addr_matches(const struct weir_capture_filter* f,
                                                 const struct weir_addr* addr, __be16 port) {
  return capture_end_matches(&f->addr, f->port, addr, port) ||
         (!addr_is_zero(&f->addr_other) &&
          capture_end_matches(&f->addr_other, f->port, addr, port));
}

static __always_inline bool capture_wants(const struct weir_capture_filter* f,
                                          const struct packet* pkt, __u32 ifindex) {
  if (!f->enabled || (f->proto && f->proto != pkt->proto)) return false;
  if (f->ifindex && f->ifindex != ifindex) return false;
  return (capture_addr_matches(f, &pkt->src, pkt->src_port) &&
          capture_end_matches(&f->peer, f->peer_port, &pkt->dst, pkt->dst_port)) ||
         (capture_addr_matches(f, &pkt->dst, pkt->dst_port) &&
          capture_end_matches(&f->peer, f->peer_port, &pkt->src, pkt->src_port));
}

SHARED int capture_packet(struct __sk_buff* skb, struct packet* pkt, __u32 out, __u32 reason) {
  const __u32 zero = 0;
  if (!pkt) return 0;
  const struct weir_capture_filter* filter = bpf_map_lookup_elem(&weir_capture_f, &zero);
  struct capture_record* record = bpf_map_lookup_elem(&weir_capture_b, &zero);
  if (!filter || !record || !capture_wants(filter, pkt, skb->ifindex)) return 0;
  __u32 bytes = skb->len < filter->snap ? skb->len : filter->snap;
  if (bytes > WEIR_CAPTURE_SNAP) bytes = WEIR_CAPTURE_SNAP;
  if (bytes == 0 || bpf_skb_load_bytes(skb, 0, record->bytes, bytes)) return 0;
  record->head = (struct weir_captured){
      .time_ns = bpf_ktime_get_ns(),
      .length = skb->len,
      .captured = bytes,
      .ifindex = skb->ifindex,
      .hook = pkt->hook,
      .out = out,
      .reason = reason,
      .capture = filter->capture,
  };
  bpf_ringbuf_output(&weir_capture, record, sizeof(record->head) + bytes, 0);
  return 0;
}

static __always_inline void capture(struct __sk_buff* skb, const struct packet* pkt,
                                    enum weir_out out, enum weir_drop reason) {
  const struct weir_state* state = state_get();
  if (state && READ_ONCE(state->capture_on)) capture_packet(skb, (struct packet*)pkt, out, reason);
}
