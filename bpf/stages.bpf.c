/* The stages of abi/stages.def, once for each attach type. */
#include "lib/connect.h"
#include "lib/icmp_error.h"

SEC("tcx/ingress")
int ingress_CONNECT(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  return pkt ? connect(skb, pkt, true) : TCX_DROP;
}

SEC("tcx/egress")
int egress_CONNECT(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  return pkt ? connect(skb, pkt, false) : TCX_DROP;
}

SEC("tcx/ingress")
int ingress_ICMP_ERROR(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  return pkt ? icmp_error(skb, pkt, true) : TCX_DROP;
}

SEC("tcx/egress")
int egress_ICMP_ERROR(struct __sk_buff* skb) {
  struct packet* pkt = packet_get();
  return pkt ? icmp_error(skb, pkt, false) : TCX_DROP;
}
