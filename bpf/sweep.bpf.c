/* The sweep: an iterator over the connection table, started by the agent and run in the kernel. An
 * idle entry turns DYING in one pass and, if no packet has revived it, leaves in a later one; its
 * final counts go to the reader of the iterator, which no overload can make lossy. */
#include "abi/sweep.h"

#include "lib/conntrack.h"

struct bpf_iter__bpf_map_elem {
  struct bpf_iter_meta* meta;
  struct bpf_map* map;
  void* key;
  void* value;
} __attribute__((preserve_access_index));

/* One element: how this pass judges. Written by the agent before it starts one. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct weir_sweep);
} weir_sweep SEC(".maps");

/* Seconds of silence after which a connection is over. */
static __always_inline __u32 idle_limit(const struct weir_ct_key* key, const struct weir_ct* ct,
                                        const struct weir_ct* peer,
                                        const struct weir_sweep* sweep) {
  if (ct->flags & WEIR_CT_CLOSED)
    return ct->flags & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY) ? sweep->closed_translated_s
                                                         : sweep->closed_s;
  const bool replied = ct->flags & WEIR_CT_REPLIED;
  if (key->proto == IPPROTO_TCP)
    return replied && !(ct->flags & WEIR_CT_OPENING) ? sweep->tcp_s : sweep->tcp_opening_s;
  if (!replied) return sweep->unreplied_s;
  /* A translated connection's answers are counted in its other half. */
  const __u64 answers = peer ? peer->packets[0] + peer->packets[1] : 0;
  if (ct->packets[0] + ct->packets[1] + answers <= 2) return sweep->one_answer_s;
  return sweep->stream_s;
}

/* Jiffies since the last packet of either half. */
static __always_inline __u32 idle_jiffies(const struct weir_ct* ct, const struct weir_ct* peer) {
  const __u32 now = jiffies();
  const __u32 idle = now - READ_ONCE(ct->seen);
  if (!peer) return idle;
  const __u32 peer_idle = now - READ_ONCE(peer->seen);
  return peer_idle < idle ? peer_idle : idle;
}

static __always_inline void ended_fill(struct weir_event* event, const struct weir_ct_key* key,
                                       const struct weir_ct* ct) {
  event->type = WEIR_EVENT_ENDED;
  event->time_ns = bpf_ktime_get_ns();
  event_fill_ct(event, key, ct);
  event->duration_ns = event->time_ns - ct->created_ns;
}

/* One step of an idle pair towards its end; true: nobody else has it any more, tell and delete.
 * Totals are final only behind DEAD, so that comes first. */
static __always_inline bool sweep_claim(struct weir_ct* ct, struct weir_ct* peer) {
  const __u32 state = READ_ONCE(ct->state);
  if (state == WEIR_CT_DEAD) return READ_ONCE(ct->flags) & WEIR_CT_SWEPT;
  if (state == WEIR_CT_LIVE) {
    if (peer) __sync_val_compare_and_swap(&peer->state, WEIR_CT_LIVE, WEIR_CT_DYING);
    __sync_val_compare_and_swap(&ct->state, WEIR_CT_LIVE, WEIR_CT_DYING);
    return false;
  }
  if (__sync_val_compare_and_swap(&ct->state, WEIR_CT_DYING, WEIR_CT_DEAD) != WEIR_CT_DYING)
    return false;
  /* An answer has revived its half: the pair lives. */
  if (peer &&
      __sync_val_compare_and_swap(&peer->state, WEIR_CT_DYING, WEIR_CT_DEAD) == WEIR_CT_LIVE) {
    __sync_lock_test_and_set(&ct->state, WEIR_CT_LIVE);
    return false;
  }
  __sync_fetch_and_or(&ct->flags, WEIR_CT_SWEPT);
  return true;
}

/* A connection of a Service, by its books. */
static __always_inline void tell_service(struct seq_file* seq, const struct weir_ct_key* key,
                                         const struct weir_ct* ct) {
  const __u32 flags = READ_ONCE(ct->flags);
  if (!ct->service || (flags & (WEIR_CT_NAT_REPLY | WEIR_CT_CLOSED))) return;
  if (READ_ONCE(ct->state) == WEIR_CT_DEAD) return;
  struct weir_event event = {.type = WEIR_EVENT_NEW};
  event_fill_ct(&event, key, ct);
  bpf_seq_write(seq, &event, sizeof(event)); /* buffer full: the kernel comes back for this entry */
}

SEC("iter/bpf_map_elem")
int sweep(struct bpf_iter__bpf_map_elem* ctx) {
  const __u32 zero = 0;
  const struct weir_sweep* limits = bpf_map_lookup_elem(&weir_sweep, &zero);
  const struct weir_ct_key* found = ctx->key;
  if (!limits || !found || !ctx->value) return 0;
  struct weir_ct_key key = *found;
  struct weir_ct* ct = ct_lookup(&key);
  if (!ct) return 0;
  if (limits->tell_services) {
    tell_service(ctx->meta->seq, &key, ct);
    return 0;
  }
  struct weir_ct* peer = NULL;
  struct weir_ct_key peer_key = ct->peer;
  if (ct->flags & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY)) peer = ct_lookup(&peer_key);
  /* A pair is judged by the half that keeps its books; a half without the other is by itself. */
  if ((ct->flags & WEIR_CT_NAT_REPLY) && peer) return 0;
  if (READ_ONCE(ct->state) != WEIR_CT_DEAD &&
      idle_jiffies(ct, peer) < idle_limit(&key, ct, peer, limits) * (__u32)cfg.hz)
    return 0;
  if (!sweep_claim(ct, peer)) return 0;
  /* Tell before it goes: when the reader's buffer is full, the kernel comes back for this entry. */
  if (!(ct->flags & (WEIR_CT_HOST | WEIR_CT_NAT_REPLY))) {
    struct weir_event event = {};
    ended_fill(&event, &key, ct);
    if (bpf_seq_write(ctx->meta->seq, &event, sizeof(event))) return 0;
  }
  if (peer) bpf_map_delete_elem(&weir_ct, &peer_key);
  bpf_map_delete_elem(&weir_ct, &key);
  return 0;
}
