/* Stages are tail calls: what an established packet never needs stays out of its program. The
 * kernel refuses one PROG_ARRAY for two attach types, so there are two, both from abi/stages.def.
 */
#pragma once

#include "abi/stages.h"
#include "lib/drop.h"

#define WEIR_STAGE(name)                 \
  int ingress_##name(struct __sk_buff*); \
  int egress_##name(struct __sk_buff*);
#include "abi/stages.def"
#undef WEIR_STAGE

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, WEIR_STAGES);
  __uint(key_size, sizeof(__u32));
  __array(values, int(struct __sk_buff*));
} weir_stages_in SEC(".maps") = {
    .values =
        {
#define WEIR_STAGE(name) [WEIR_STAGE_##name] = (void*)&ingress_##name,
#include "abi/stages.def"
#undef WEIR_STAGE
        },
};

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, WEIR_STAGES);
  __uint(key_size, sizeof(__u32));
  __array(values, int(struct __sk_buff*));
} weir_stages_out SEC(".maps") = {
    .values =
        {
#define WEIR_STAGE(name) [WEIR_STAGE_##name] = (void*)&egress_##name,
#include "abi/stages.def"
#undef WEIR_STAGE
        },
};

/* Does not return when the stage is there. Without it the packet has no judge: drop. */
static __always_inline int stage_enter(struct __sk_buff* skb, struct packet* pkt, bool ingress,
                                       enum weir_stage stage) {
  if (ingress)
    bpf_tail_call(skb, &weir_stages_in, stage);
  else
    bpf_tail_call(skb, &weir_stages_out, stage);
  return drop(skb, pkt, WEIR_DROP_NO_STAGE);
}

/* Drops the packet and tells its sender: RST, or ICMP unreachable or too big. */
static __always_inline int reject(struct __sk_buff* skb, struct packet* pkt, bool ingress,
                                  enum weir_drop reason) {
  pkt->reason = reason;
  return stage_enter(skb, pkt, ingress, WEIR_STAGE_REJECT);
}
