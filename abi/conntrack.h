#pragma once

#include "abi/addr.h"
#include "abi/endpoint.h"

/* Map weir_ct. Key: the tuple as on the wire, lower address first (compared as bytes; equal
 * addresses: lower port first). ICMP echo has its identifier in both ports; other protocols have
 * zero ports. A direct connection is one entry; a translated one is two, each complete, one per
 * wire tuple. */
struct weir_ct_key {
  struct weir_addr addr[2];
  __be16 port[2];
  __u8 proto;
  __u8 zone; /* 0 */
  __u16 pad;
};
WEIR_LAYOUT(weir_ct_key, 40);

/* Tells entries apart, not buckets: 64 bits mixed from the 40 of the key. */
__attribute__((always_inline)) static inline __u64 weir_ct_id(const struct weir_ct_key* key) {
  typedef __u32 __attribute__((may_alias)) word_of_key;
  const word_of_key* word = (const word_of_key*)key;
  __u64 id = 0x9e3779b97f4a7c15ULL;
  for (int i = 0; i < 10; i += 2) {
    id ^= word[i] | (__u64)word[i + 1] << 32;
    id *= 0xff51afd7ed558ccdULL;
    id ^= id >> 32;
  }
  return id ? id : 1;
}

enum weir_ct_state {
  WEIR_CT_LIVE = 1,
  WEIR_CT_DYING = 2, /* the sweep found it idle; a packet makes it LIVE again */
  WEIR_CT_DEAD = 3,  /* about to be deleted; packets treat it as absent */
};

enum weir_ct_flag {
  WEIR_CT_OPENER_HI = 1, /* addr[1] opened the connection */
  WEIR_CT_REPLIED = 2,   /* the responder has spoken */
  WEIR_CT_FIN_OPENER = 4,
  WEIR_CT_FIN_RESPONDER = 8,
  WEIR_CT_CLOSED = 16,        /* both FINs or a RST */
  WEIR_CT_NAT = 32,           /* the opener's wire tuple of a translated connection: the books */
  WEIR_CT_NAT_REPLY = 64,     /* the responder's wire tuple of one */
  WEIR_CT_HOST = 128,         /* holds a port of the host's own, so that translation avoids it */
  WEIR_CT_BY_RESPONDER = 256, /* the first FIN or the RST came from the responder */
  WEIR_CT_RESET = 512,
  WEIR_CT_SWEPT = 1024,   /* DEAD by the sweep, which alone tells and deletes it */
  WEIR_CT_PEER_HI = 2048, /* NAT, NAT_REPLY: in the key of the peer, addr[1] is the opener's end */
  WEIR_CT_SERVICE = 4096, /* NAT, NAT_REPLY: the opener addressed a Service */
  WEIR_CT_ON_OPENER = 8192, /* has sent more after a RST; both: the RST was none */
  WEIR_CT_ON_RESPONDER = 16384,
  WEIR_CT_OPENING = 32768, /* TCP, the books: the opener has sent nothing but SYNs */
};

#define WEIR_CT_IN_HOST 0xffffffffU /* in_ifindex: comes from this host's stack */
#define WEIR_CT_IN_NET 0xfffffffeU  /* in_ifindex: comes by any NIC */

/* How the packets of one direction come in and go out. */
struct weir_ct_path {
  __u32 in_ifindex;
  __u32 out_ifindex;
  struct weir_addr next_hop; /* TUNNEL: node; DIRECT: gateway, zero: the destination is on link */
  __u32 version;             /* of the endpoint or route it goes to */
  __u16 mtu;                 /* of the way out, 0: not limited */
  __u8 out;                  /* enum weir_out */
  __u8 set;                  /* 0: nobody of that side is expected to send */
  __u8 mac[WEIR_MAC_LEN];    /* LOCAL: the pod's */
  __u8 dsr;    /* to or from a node that answers the client itself (weir_service: DSR) */
  __u8 queued; /* LOCAL: the endpoint's */
};
WEIR_LAYOUT(weir_ct_path, 40);

struct weir_ct {
  __u64
      id; /* hash of the key, compared after the copy: an element may be recycled under a reader */
  __u64 epoch;    /* 0: the paths are being rewritten; compared before and after they are copied */
  __u32 state;    /* enum weir_ct_state, changed by compare-and-swap only */
  __u32 seen;     /* jiffies of the last packet */
  __u32 flags;    /* enum weir_ct_flag, changed by atomic or only */
  __u32 fib_seen; /* jiffies when DIRECT next hops were last asked for */
  struct weir_ct_path path[2]; /* [0]: from addr[0] to addr[1] */
  __u64 packets[2];
  __u64 bytes[2];
  __u64 created_ns;
  __u64 replied_ns; /* 0: not yet */
  /* translated connections: the key of the other entry. Its tuple is what packets of this one are
   * rewritten to. */
  struct weir_ct_key peer;
  __u32
      service; /* weir_service.id that the opener addressed, by packet or at its socket; 0: none */
  __u32 pad;
  __u64 spare[3]; /* an element of the table fills whole cache lines
                     (docs/decisions/0010-connection-key.md) */
};
WEIR_LAYOUT(weir_ct, 32 + 80 + 32 + 16 + 64 + 8);

/* Program ct_merge: what an earlier build's entry has of a connection. */
struct weir_ct_books {
  struct weir_ct_key key;
  __u32 flags;
  __u32 seen;
  __u64 packets[2];
  __u64 bytes[2];
  __u64 created_ns;
  __u64 replied_ns;
};
WEIR_LAYOUT(weir_ct_books, 40 + 8 + 32 + 16);
