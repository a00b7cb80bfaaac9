#pragma once

#include "abi/conntrack.h"
#include "abi/endpoint.h"
#include "abi/fragment.h"
#include "abi/hooks.h"
#include "abi/route.h"
#include "abi/service.h"
#include "lib/kernel.h"

enum packet_flag {
  PACKET_L4 = 1,         /* this packet carries the transport header */
  PACKET_ICMP_ERROR = 2, /* ICMP or ICMPv6 error: talks about another packet */
  PACKET_FRAGMENT = 4,   /* any fragment */
  PACKET_STALE = 8,      /* an entry exists, its paths are of an older epoch */
  PACKET_REOPEN = 16,    /* a closed entry exists, this packet opens a new connection */
  PACKET_JUMBO = 32,     /* IPv6: bears the option by which the kernel tells of over 64 KiB */
};

static __always_inline bool is_icmp(__u8 proto) {
  return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

#define ICMP_ECHOREPLY 0
#define ICMP_ECHO 8
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY 129

#define TCP_FIN 1
#define TCP_SYN 2
#define TCP_RST 4
#define TCP_ACK 16

enum translate {
  TRANSLATE_NOT = 0,
  TRANSLATE_TARGET = 1, /* a Service: the destination, and the source only if its tuple is taken */
  TRANSLATE_SOURCE = 2, /* the source becomes this node's, with a port of the translated range */
};

/* Where a connection's packets come in and go out, as a hook has decided. */
struct paths {
  struct weir_ct_path there; /* this packet's direction */
  struct weir_ct_path back;  /* the answer's */
  __u8 translate;            /* enum translate */
  __u8 inserted;             /* this CPU made the entry, and tells */
};

/* A tuple as translation makes it. */
struct nat {
  struct weir_addr src;
  struct weir_addr dst;
  __be16 src_port;
  __be16 dst_port;
};

/* What lies behind an address. */
struct end {
  struct weir_endpoint ep; /* if local */
  struct weir_route route; /* if not */
  __u8 local;              /* a pod of this node */
  __u8 kind;               /* enum weir_route_kind, where not local */
};

/* What is known of the packet so far. Survives tail calls: one per CPU. */
struct packet {
  __u64 epoch;
  struct weir_addr src;
  struct weir_addr dst;
  struct weir_ct_key key;
  __u32 in;       /* as weir_ct_path.in_ifindex */
  __u32 length;   /* from the IP header on */
  __u32 segments; /* on the wire */
  __u32 largest;  /* bytes of the largest segment, from the IP header on */
  __be16 src_port;
  __be16 dst_port;
  __u16 l4_offset; /* from the Ethernet header on */
  __u8 hook;
  __u8 ipv4;
  __u8 proto;
  __u8 ttl;
  __u8 flags;
  __u8 tcp_flags;
  __u8 icmp_type;
  __u8 icmp_code;
  __u8 from_hi;   /* the packet goes from key.addr[1] to key.addr[0] */
  __u8 tunnelled; /* came out of the tunnel; outer_src is set */
  __u8 dsr;       /* by a node that wants this one to answer the client */
  __u8 l4_length; /* TCP: of its header */
  __u8 reason;    /* enum weir_drop, for the stage REJECT */
  __u8 hand_over; /* to the backend's node, untranslated: DSR */
  __u8 ecn;       /* XDP: of the IP header */
  __u8 summed;    /* XDP: the transport's checksum covers the rest of the frame */
  __u8 again;     /* another program has read it, too */
  __u16 mtu;      /* TOO_BIG: what would fit */
  __u32 asked;    /* Service that the sending socket has addressed (lib/sock_flow.h); 0: none */
  struct weir_addr outer_src;
  /* scratch of the stages, too large for the stack */
  struct weir_ct fresh;
  struct weir_ct reply;
  struct end from;
  struct end to;               /* behind nat.dst */
  struct nat nat;              /* what the wire will say */
  struct weir_service service; /* that the packet addresses; id 0: none */
  struct weir_backend backend;
  struct weir_ct_key reply_key;
  struct paths paths;
  struct weir_frag frag; /* .seen stays 0 */
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct packet);
} weir_packet SEC(".maps");

static __always_inline struct packet* packet_get(void) {
  const __u32 zero = 0;
  return bpf_map_lookup_elem(&weir_packet, &zero);
}

static __always_inline bool proto_has_ports(__u8 proto) {
  return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

static __always_inline bool has_ports(const struct packet* pkt) {
  return proto_has_ports(pkt->proto);
}
