/* All programs are one object: one skeleton, one set of maps. Each file below is one hook. */
#include "from_net.bpf.c"
#include "from_pod.bpf.c"
#include "heir.bpf.c"
#include "kernel_drop.bpf.c"
#include "sock_end.bpf.c"
#include "socket.bpf.c"
#include "stages.bpf.c"
#include "sweep.bpf.c"
#include "to_net.bpf.c"
#include "to_pod.bpf.c"
#include "xdp.bpf.c"

char _license[] SEC("license") = "GPL";
