/* The stages of abi/stages.def, once for each attach type. Packets without a scratch cannot happen:
 * the map that it lives in has its element. */
#include "lib/connect.h"
#include "lib/icmp_error.h"
#include "lib/reject.h"
#include "lib/sctp.h"

SEC("tcx/ingress")
int ingress_CONNECT(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  if (!pkt) return TCX_DROP; /* cannot happen */
  return connect(skb, pkt, true);
}

SEC("tcx/egress")
int egress_CONNECT(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  if (!pkt) return TCX_DROP; /* cannot happen */
  return connect(skb, pkt, false);
}

SEC("tcx/ingress")
int ingress_ICMP_ERROR(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  if (!pkt) return TCX_DROP; /* cannot happen */
  return icmp_error(skb, pkt, true);
}

SEC("tcx/egress")
int egress_ICMP_ERROR(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  if (!pkt) return TCX_DROP; /* cannot happen */
  return icmp_error(skb, pkt, false);
}

SEC("tcx/ingress")
int ingress_REJECT(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  if (!pkt) return TCX_DROP; /* cannot happen */
  return reject_packet(skb, pkt);
}

SEC("tcx/egress")
int egress_REJECT(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  if (!pkt) return TCX_DROP; /* cannot happen */
  return reject_packet(skb, pkt);
}

SEC("tcx/ingress")
int ingress_SCTP(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  if (!pkt) return TCX_DROP; /* cannot happen */
  return sctp_translate(skb, pkt, true);
}

SEC("tcx/egress")
int egress_SCTP(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  if (!pkt) return TCX_DROP; /* cannot happen */
  return sctp_translate(skb, pkt, false);
}
