/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NNS_CORE_COUNTERS_H
#define NNS_CORE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * What happened, counted. One table gives each counter its dotted name and text; status and, later, metrics
 * come out of it. Every drop, refusal and retry has one.
 *
 * A thread adds to its own block (relaxed, no sharing); a reader folds all blocks. Threads register once;
 * blocks live as long as the process.
 */
#define NNS_COUNTERS(X)                                                                                      \
    X(FEED_MESSAGES, "feed.messages", "queue messages read")                                                 \
    X(FEED_PIDS, "feed.pids", "pids read from the queue")                                                    \
    X(FEED_PAUSES, "feed.pauses", "times the queue was left unread because the workers were busy")           \
    X(FEED_ERRORS, "feed.errors", "failed reads of the queue")                                               \
    X(REFUSED_EMPTY, "refused.empty", "messages without content")                                            \
    X(REFUSED_TOKEN, "refused.token", "words that are not a number")                                         \
    X(REFUSED_RANGE, "refused.range", "numbers that are no pid of this host")                                \
    X(REFUSED_TRUNCATED, "refused.truncated", "binary messages shorter than they say")                       \
    X(REFUSED_TRAILING, "refused.trailing", "binary messages longer than they say")                          \
    X(REFUSED_TYPE, "refused.type", "binary messages of an unknown type")                                    \
    X(REFUSED_COUNT, "refused.count", "binary messages with a count of 0")                                   \
    X(SYNC_NEW, "sync.new", "requests that found a namespace not known before")                              \
    X(SYNC_KNOWN, "sync.known", "requests for a known namespace")                                            \
    X(SYNC_GONE, "sync.gone", "requests for a process that is gone")                                         \
    X(SYNC_DENIED, "sync.denied", "requests the kernel did not let us answer")                               \
    X(SYNC_DISABLED, "sync.disabled", "requests while network.enabled is false")                             \
    X(SYNC_EXCLUDED, "sync.excluded", "requests for a namespace that exclude.namespaces names")              \
    X(SYNC_REFUSED, "sync.refused", "requests of clients for what is no pid of this host")                   \
    X(SYNC_ERROR, "sync.error", "requests that failed otherwise")                                            \
    X(CLAIMS_JOINED, "claims.joined", "requests that waited for another's opening of the same namespace")    \
    X(CLAIMS_PASSED, "claims.passed", "claims passed on because the first process had died")                 \
    X(RESOLVE_BATCHES, "resolve.batches", "batches of pids resolved by one call")                            \
    X(RESOLVE_REFUSED, "resolve.refused", "such calls that failed: their pids were resolved one by one")     \
    X(RESOLVE_PIDFD, "resolve.pidfd", "namespaces opened through a pidfd")                                   \
    X(RESOLVE_PROC, "resolve.proc", "namespaces opened through /proc")                                       \
    X(RESOLVE_MOVED, "resolve.moved", "processes that changed namespace while we looked")                    \
    X(VISITS_FAILED, "visits.failed",                                                                        \
      "visits to namespaces that failed, each followed by a later try or by namespaces.given_up")            \
    X(LIST_DUMPS, "list.dumps", "device listings")                                                           \
    X(LIST_WALKS, "list.walks", "of these, made by one call of a program, nothing sent")                     \
    X(LIST_REFUSED, "list.refused", "such calls that did not list all: rtnetlink was asked")                 \
    X(LIST_LOOKS, "list.looks", "devices looked at without listing all, because of news of them")            \
    X(LIST_PARTIAL, "list.partial",                                                                          \
      "listings under which devices came or went: what they showed was taken, and another is owed")          \
    X(LIST_GIVEN_UP, "list.given_up", "listings owed and left to the next audit, after the last retry")      \
    X(LIST_FAILED, "list.failed", "device listings that failed and will be tried again")                     \
    X(LIST_INTERRUPTED, "list.interrupted", "dumps of devices or qdiscs spoilt by a change meanwhile")       \
    X(NAMESPACES_ADDED, "namespaces.added", "namespaces added to the cache")                                 \
    X(NAMESPACES_EVICTED, "namespaces.evicted", "live namespaces flushed because the cache was full")        \
    X(NAMESPACES_WITHDRAWN, "namespaces.withdrawn", "excluded namespaces our filters were taken off")        \
    X(EXCLUDE_UNKNOWN, "exclude.unknown",                                                                    \
      "looks that could not tell where a path in exclude.namespaces leads")                                  \
    X(NAMESPACES_NO_ROOM, "namespaces.no_room",                                                              \
      "times that one was found while the cache was full, and left uncovered")                               \
    X(EVICTED_UNLISTED, "namespaces.evicted_unlisted", "evicted namespaces not shown any more: too many")    \
    X(NAMESPACES_GIVEN_UP, "namespaces.given_up",                                                            \
      "namespaces that could not be visited, after the last retry")                                          \
    X(NAMESPACES_AUDITED, "namespaces.audited", "namespaces whose devices were checked against the kernel")  \
    X(NAMESPACES_RELISTED, "namespaces.relisted",                                                            \
      "known namespaces listed again because they were asked for")                                           \
    X(NAMESPACES_DEAD, "namespaces.dead",                                                                    \
      "namespaces flushed because the kernel says that they are no more")                                    \
    X(NAMESPACES_ASTRAY, "namespaces.astray",                                                                \
      "times that the process or mount which led to a namespace did so no more")                             \
    X(NAMESPACES_FOUND, "namespaces.found", "times that another was found for such a namespace")             \
    X(NAMESPACES_LONELY, "namespaces.lonely", "namespaces flushed because no process and no mount was left") \
    X(NAMESPACES_FLUSHED, "namespaces.flushed", "namespaces flushed for any reason")                         \
    X(DISCOVER_SCANS, "discover.scans", "looks at the namespaces of all tasks and mounts")                   \
    X(DISCOVER_FAILED, "discover.failed", "looks at tasks or mounts that failed or did not see all")         \
    X(DISCOVER_UNWALKED, "discover.unwalked",                                                                \
      "walks over all tasks that failed: /proc was searched instead, or is with a later look")               \
    X(DISCOVER_PIDS, "discover.pids", "pids found in namespaces that were not known")                        \
    X(DISCOVER_PASSED_OVER, "discover.passed_over",                                                          \
      "such pids that the workers had no room for, followed by a look at all tasks")                         \
    X(EVENTS_READ, "events.read", "events of namespaces and devices read from the kernel")                   \
    X(EVENTS_ERRORS, "events.errors", "failed reads of the kernel's events")                                 \
    X(EVENTS_RESYNCS, "events.resyncs", "looks at everything because events were lost")                      \
    X(EVENTS_UNKNOWN, "events.unknown", "events of devices in namespaces that are not known")                \
    X(EVENTS_LATE, "events.late", "events of devices that had been attached by the time they were read")     \
    X(EVENTS_LOST, "events.lost", "events that the kernel had no room for, each followed by a look at all")  \
    X(EVENTS_OVERRUNS, "events.overruns",                                                                    \
      "times rtnetlink had no room for events or was not heard, followed by a look at all")                  \
    X(EVENTS_HEARD, "events.heard", "namespaces given a number, so that rtnetlink tells of their devices")   \
    X(EVENTS_REFUSED, "events.refused",                                                                      \
      "attempts to give one that failed: the namespace's devices are listed instead")                        \
    X(EVENTS_LISTINGS, "events.listings", "listings of namespaces of whose devices nothing tells")           \
    X(EVENTS_UNTOLD, "events.untold",                                                                        \
      "namespaces and devices the tracepoints could not be told of: audits find what changes there")         \
    X(DEVICES_QUEUED, "devices.queued", "devices queued for attachment")                                     \
    X(DEVICES_DUPLICATE, "devices.duplicate", "devices that stood in the queue already")                     \
    X(DEVICES_OVERFLOWED, "devices.overflowed", "device queues that filled up and ended in a new listing")   \
    X(DEVICES_GONE, "devices.gone", "devices that went away: deleted, or moved to another namespace")        \
    X(ATTACH_DONE, "attach.done", "devices attached on both hooks")                                          \
    X(ATTACH_ADOPTED, "attach.adopted", "filters of ours found in place and kept or replaced")               \
    X(ATTACH_FAILED, "attach.failed", "attempts to attach a device that failed")                             \
    X(ATTACH_SENDS, "attach.sends", "netlink exchanges for attaching")                                       \
    X(ATTACH_DUMPS, "attach.dumps",                                                                          \
      "looks at all qdiscs of a namespace, because one of its devices had no clsact")                        \
    X(ATTACH_GIVEN_UP, "attach.given_up", "devices left failed after the last retry")                        \
    X(ATTACH_GONE, "attach.gone", "devices that were gone by the time we attached")                          \
    X(DETACH_DONE, "detach.done", "filters of ours removed")                                                 \
    X(DETACH_FOREIGN, "detach.foreign", "filters found at our place that were not ours, and left alone")     \
    X(DETACH_FAILED, "detach.failed", "filters of ours that could not be removed")                           \
    X(METER_EXHAUSTED, "meter.exhausted", "devices attached without a slot of their own: counted together")  \
    X(METER_UNCLEARED, "meter.uncleared",                                                                    \
      "slots whose former counts could not be cleared: taken from their device again")                       \
    X(LONELY_SWEEPS, "lonely.sweeps", "looks at all processes and mounts")                                   \
    X(LONELY_UNKNOWN, "lonely.unknown", "such looks that failed, so that nothing followed from them")        \
    X(WATCH_LOST, "watch.lost", "events that watching clients were too slow for")                            \
    X(CONTROL_CLIENTS, "control.clients", "control connections accepted")                                    \
    X(CONTROL_REQUESTS, "control.requests", "control requests")                                              \
    X(CONTROL_REFUSED, "control.refused", "control requests that were malformed or too large")               \
    X(CONTROL_BUSY, "control.busy", "control connections refused because there were too many")               \
    X(CONTROL_TIMEOUTS, "control.timeouts", "control connections closed because the client stalled")         \
    X(CONTROL_ERRORS, "control.errors",                                                                      \
      "times that control connections could not be accepted, and were left to wait")

enum nns_counter {
#define NNS_COUNTER_ID(id, name, text) NNS_COUNT_##id,
    NNS_COUNTERS(NNS_COUNTER_ID)
#undef NNS_COUNTER_ID
        NNS_COUNTER_TOTAL
};

/* Add to a counter on the calling thread's block; the first call of a thread registers it. Any thread. */
void nns_count(enum nns_counter counter, uint64_t by);

/* The sum over all threads, those that ended included. Any thread. */
uint64_t nns_counter_read(enum nns_counter counter);

const char *nns_counter_name(enum nns_counter counter);
const char *nns_counter_text(enum nns_counter counter);

#endif
