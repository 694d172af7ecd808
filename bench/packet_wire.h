/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BENCH_PACKET_WIRE_H
#define BENCH_PACKET_WIRE_H

#include "packet_programs.h"
#include "pods.h"

/*
 * Real packets: frames that go into one end of a veth pair in a namespace and come out of the other, past the
 * first one's egress filter and the second one's ingress filter, each run of which the kernel times.
 *
 * All return 0 or -errno, told on stderr.
 */
struct bench_packet_wire {
    struct bench_pods pods;
    int socket; /* that sends; owned */
    int timing; /* owned */
};

#define BENCH_PACKET_WIRE_NULL                                                                               \
    ((struct bench_packet_wire){.pods = BENCH_PODS_NULL, .socket = -1, .timing = -1})

int bench_packet_wire_open(struct bench_packet_wire *wire);
void bench_packet_wire_close(struct bench_packet_wire *wire);

/* Put them in the place of what is attached, as the daemon would, each device with a slot of its own, and
 * send so many bursts. nanoseconds[hook]: how long a run takes on the average of a burst, the median of all
 * of these. */
int bench_packet_wire_measure(const struct bench_packet_wire *wire, const struct nns_tc_set *set,
                              unsigned bursts, double nanoseconds[NNS_HOOKS]);

/* After it: the meter's slots hold what was sent, on the hook it went past, and nothing else. */
int bench_packet_wire_verify(const struct nns_meter *meter, unsigned bursts);

#endif
