/* SPDX-License-Identifier: Apache-2.0 */
#include "packet_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/netns.h"
#include "io/tc.h"
#include "report.h"
#include "stats.h"

/* As bench_pods_add_wide makes the first pair; frames go in here and come out there. */
#define IN  2u
#define OUT 3u

/* Any but the one that devices without a slot share. */
#define SLOT_OF(ifindex) ((uint16_t)(4000 + (ifindex)))

#define BURST       512u
#define FRAME_BYTES 64

/* Nobody listens for these, so that a frame ends where it has come out. */
#define FRAME_TYPE ETH_P_802_EX1

/* ---- making it ---- */

static int open_sender(void)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = IN};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), result;

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    result = -errno;
    close(fd);
    return result;
}

static int open_inside(struct bench_packet_wire *wire)
{
    struct nns_netns_abilities abilities;
    int netlink, result = nns_netns_probe(&abilities);

    if (result)
        return bench_error(result, "entering namespaces");
    netlink = nns_netns_enter(wire->pods.items[0].netns, 0);
    if (netlink < 0)
        return bench_error(netlink, "entering a namespace");
    wire->socket = open_sender();
    nns_netns_leave(netlink);
    return wire->socket < 0 ? bench_error(wire->socket, "a packet socket") : 0;
}

int bench_packet_wire_open(struct bench_packet_wire *wire)
{
    int result;

    *wire = BENCH_PACKET_WIRE_NULL;
    result = bench_pods_init(&wire->pods, 1);
    if (result == 0)
        result = bench_pods_add_wide(&wire->pods, 1);
    if (result == 0)
        result = open_inside(wire);
    if (result)
        return result;
    wire->timing = bench_packet_time();
    return wire->timing < 0 ? wire->timing : 0;
}

void bench_packet_wire_close(struct bench_packet_wire *wire)
{
    if (wire->socket >= 0)
        close(wire->socket);
    if (wire->timing >= 0)
        close(wire->timing);
    bench_pods_deinit(&wire->pods);
    *wire = BENCH_PACKET_WIRE_NULL;
}

/* ---- attaching ---- */

/* What it says of itself. */
static int check_jobs(const struct nns_tc_job *jobs, size_t count)
{
    for (size_t i = 0; i < NNS_HOOKS * count; i++)
        if (jobs[i / NNS_HOOKS].hooks[i % NNS_HOOKS].reason != NNS_REASON_NONE)
            return -ENODATA;
    return 0;
}

static int attach(const struct bench_packet_wire *wire, const struct nns_tc_set *set)
{
    struct nns_tc_job jobs[] = {
        {.ifindex = IN, .slot = SLOT_OF(IN), .qdisc = NNS_QDISC_NONE},
        {.ifindex = OUT, .slot = SLOT_OF(OUT), .qdisc = NNS_QDISC_NONE},
    };
    struct nns_tc_stats stats = {0};
    int result = bench_pods_clear(&wire->pods, 0, 1, OUT), netlink;

    if (result)
        return result;
    netlink = nns_netns_enter(wire->pods.items[0].netns, 6);
    if (netlink < 0)
        return bench_error(netlink, "entering a namespace");
    result = nns_tc_attach(netlink, set, jobs, 2, &stats);
    nns_netns_leave(netlink);
    if (result == 0)
        result = check_jobs(jobs, 2);
    return result ? bench_error(result, "attaching") : 0;
}

/* ---- measuring ---- */

static int send_burst(int socket)
{
    struct {
        struct ethhdr header;
        char rest[FRAME_BYTES - sizeof(struct ethhdr)];
    } frame = {.header.h_proto = htons(FRAME_TYPE)};

    for (unsigned i = 0; i < BURST; i++)
        if (send(socket, &frame, sizeof(frame), 0) < 0)
            return bench_error(-errno, "sending a frame");
    return 0;
}

static int read_totals(const struct nns_tc_set *set, struct bench_packet_totals totals[NNS_HOOKS])
{
    int result = 0;

    for (int hook = 0; hook < NNS_HOOKS && result == 0; hook++)
        result = bench_packet_totals(set->programs[hook].fd, &totals[hook]);
    return result;
}

/* Nanoseconds a run of either program. */
static int time_burst(int socket, const struct nns_tc_set *set, double *const each[NNS_HOOKS],
                      unsigned number)
{
    struct bench_packet_totals before[NNS_HOOKS], after[NNS_HOOKS];
    int result = read_totals(set, before);

    if (result == 0)
        result = send_burst(socket);
    if (result == 0)
        result = read_totals(set, after);
    for (int hook = 0; hook < NNS_HOOKS && result == 0; hook++) {
        if (after[hook].runs == before[hook].runs)
            return bench_error(-ENODATA, "no frame has passed a filter");
        each[hook][number] =
            (double)(after[hook].time - before[hook].time) / (double)(after[hook].runs - before[hook].runs);
    }
    return result;
}

int bench_packet_wire_measure(const struct bench_packet_wire *wire, const struct nns_tc_set *set,
                              unsigned bursts, double nanoseconds[NNS_HOOKS])
{
    double *values = calloc((size_t)bursts * NNS_HOOKS, sizeof(*values));
    double *const each[NNS_HOOKS] = {values, values + bursts};
    int result = values ? attach(wire, set) : bench_error(-ENOMEM, "bursts");

    for (unsigned i = 0; i < bursts && result == 0; i++)
        result = time_burst(wire->socket, set, each, i);
    for (int hook = 0; hook < NNS_HOOKS && result == 0; hook++)
        nanoseconds[hook] = bench_summarise(each[hook], bursts).median;
    free(values);
    return result;
}

int bench_packet_wire_verify(const struct nns_meter *meter, unsigned bursts)
{
    const uint64_t sent = (uint64_t)bursts * BURST;
    struct nns_traffic in[NNS_HOOKS], out[NNS_HOOKS];
    int result = nns_meter_read(meter, SLOT_OF(IN), in);

    if (result == 0)
        result = nns_meter_read(meter, SLOT_OF(OUT), out);
    if (result)
        return bench_error(result, "reading the meter");
    if (in[NNS_EGRESS].packets == sent && in[NNS_INGRESS].packets == 0 && out[NNS_INGRESS].packets == sent &&
        out[NNS_EGRESS].packets == 0)
        return 0;
    return bench_error(-ENODATA, "the meter has counted other packets than were sent");
}
