/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/counters.h"
#include "core/protocol.h"
#include "core/protocol_json.h"

char *nns_answer_done(void)
{
    return nns_json_line(json_pack("{s:b}", "done", 1));
}

char *nns_answer_error(const char *sentence)
{
    return nns_json_line(json_pack("{s:b, s:o}", "done", 0, "error", nns_json_text(sentence, SIZE_MAX)));
}

/* strerror() is not for threads; errnos the library has no text for do not come out of our system calls. */
static const char *errno_text(int error)
{
    const char *text = strerrordesc_np(error);

    return text ? text : "unknown error";
}

char *nns_answer_result(const struct nns_result *result)
{
    json_t *object = json_pack("{s:I, s:s, s:o, s:I}", "pid", (json_int_t)result->pid, "outcome",
                               nns_outcome_name((enum nns_outcome)result->outcome), "cookie",
                               nns_json_number(result->cookie), "inum", (json_int_t)result->inum);

    if (object && result->error && !nns_json_add(object, "error", json_string(errno_text(result->error)))) {
        json_decref(object);
        return NULL;
    }
    return nns_json_line(json_pack("{s:o}", "result", object));
}

static json_t *hook_object(const struct nns_device_row *row, unsigned hook)
{
    const struct nns_attachment *attachment = &row->device.attachments[0][hook];
    bool there = attachment->program_id != 0;
    json_t *object =
        json_pack("{s:o, s:o}", "program_id", there ? json_integer(attachment->program_id) : json_null(),
                  "priority", there ? json_integer(attachment->priority) : json_null());

    if (object && row->counted &&
        !(nns_json_add(object, "packets", nns_json_number(row->traffic[hook].packets)) &&
          nns_json_add(object, "bytes", nns_json_number(row->traffic[hook].bytes)))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* "ingress: …; egress: …" of the hooks that have a reason, or null. */
static json_t *device_error(const struct nns_device *device)
{
    char sentence[512];
    size_t used = 0;

    for (unsigned i = 0; i < NNS_SETS_MAX * NNS_HOOKS; i++) {
        const struct nns_attachment *attachment = &device->attachments[i / NNS_HOOKS][i % NNS_HOOKS];
        enum nns_reason reason = (enum nns_reason)attachment->reason;

        if (reason == NNS_REASON_NONE || used >= sizeof(sentence))
            continue;
        used += (size_t)snprintf(sentence + used, sizeof(sentence) - used, "%s%s: %s", used ? "; " : "",
                                 nns_hook_name(i % NNS_HOOKS),
                                 reason == NNS_REASON_KERNEL ? errno_text(attachment->error)
                                                             : nns_reason_text(reason));
    }
    return used ? json_string(sentence) : json_null();
}

/* Which device it is. */
static bool add_link(json_t *object, const struct nns_link *link)
{
    return nns_json_add(object, "ifindex", json_integer(link->ifindex)) &&
           nns_json_add(object, "name", nns_json_text(link->name, sizeof(link->name))) &&
           nns_json_add(object, "kind", nns_json_text(link->kind, sizeof(link->kind)));
}

/* What became of it. */
static bool add_state(json_t *object, const struct nns_device_row *row)
{
    const struct nns_device *device = &row->device;
    enum nns_device_state state = (enum nns_device_state)device->state;

    return nns_json_add(object, "state", json_string(nns_device_state_name(state))) &&
           nns_json_add(object, "covered", json_boolean(nns_device_covers(device))) &&
           nns_json_add(object, nns_hook_name(NNS_INGRESS), hook_object(row, NNS_INGRESS)) &&
           nns_json_add(object, nns_hook_name(NNS_EGRESS), hook_object(row, NNS_EGRESS)) &&
           nns_json_add(object, "error", device_error(device)) &&
           (!row->retry_in_ms || nns_json_add(object, "retry_in_ms", nns_json_number(row->retry_in_ms)));
}

static json_t *device_object(const struct nns_device_row *row)
{
    json_t *object = json_object();

    if (object && !(add_link(object, &row->device.link) && add_state(object, row))) {
        json_decref(object);
        return NULL;
    }
    return object;
}

static json_t *devices_array(const struct nns_namespace_row *row)
{
    json_t *array = json_array();

    for (uint32_t i = 0; array && i < row->device_count; i++) {
        if (json_array_append_new(array, device_object(&row->devices[i]))) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static const char *const handle_names[] = {
    [NNS_HANDLE_NONE] = "none", [NNS_HANDLE_PINNED] = "pinned", [NNS_HANDLE_WEAK] = "weak"};

static bool add_remarks(json_t *object, const struct nns_namespace_row *row)
{
    return (!row->host || nns_json_add(object, "host", json_true())) &&
           (!row->evicted || nns_json_add(object, "evicted", json_true())) &&
           (!row->list_error || nns_json_add(object, "list_error", nns_json_text(row->list_error, SIZE_MAX)));
}

char *nns_answer_namespace(const struct nns_namespace_row *row)
{
    json_t *object =
        json_pack("{s:o, s:I, s:s, s:o}", "cookie", nns_json_number(row->cookie), "inum",
                  (json_int_t)row->inum, "handle", handle_names[row->handle], "devices", devices_array(row));

    if (object && !add_remarks(object, row)) {
        json_decref(object);
        return NULL;
    }
    return nns_json_line(json_pack("{s:o}", "namespace", object));
}

static json_t *capabilities_object(const struct nns_capabilities *capabilities)
{
    return json_pack(
        "{s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?, s:s?}", "resolver", capabilities->resolver,
        "handles", capabilities->handles, "identity", capabilities->identity, "first_scan",
        capabilities->first_scan, "discovery", *capabilities->discovery ? capabilities->discovery : NULL,
        "device_events", *capabilities->device_events ? capabilities->device_events : NULL, "listing",
        capabilities->listing, "attach", capabilities->attach, "meter_key", capabilities->meter_key);
}

static json_t *counters_object(void)
{
    json_t *object = json_object();

    for (unsigned i = 0; object && i < NNS_COUNTER_TOTAL; i++) {
        enum nns_counter counter = (enum nns_counter)i;

        if (!nns_json_add(object, nns_counter_name(counter), nns_json_number(nns_counter_read(counter)))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* Machines read these; nns_reason_text() is for people. A device without a reason waits for its turn. */
static const char *const reason_keys[NNS_REASON_COUNT] = {
    [NNS_REASON_NONE] = "waiting",
    [NNS_REASON_KERNEL] = "kernel",
    [NNS_REASON_GONE] = "gone",
    [NNS_REASON_LEGACY_INGRESS] = "legacy_ingress",
    [NNS_REASON_SHARED_BLOCK] = "shared_block",
    [NNS_REASON_NO_PRIORITY] = "no_priority",
    [NNS_REASON_UNKNOWN] = "unknown",
};

static json_t *missing_object(const struct nns_status *status)
{
    json_t *object = json_object();

    for (unsigned i = 0; object && i < NNS_REASON_COUNT; i++) {
        if (!nns_json_add(object, reason_keys[i], nns_json_number(status->missing_by_reason[i]))) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *coverage_object(const struct nns_status *status)
{
    /* Nothing known is not everything covered. */
    json_t *ratio = status->devices_known
                        ? json_real((double)status->devices_covered / (double)status->devices_known)
                        : json_null();

    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "devices_known", nns_json_number(status->devices_known),
        "devices_covered", nns_json_number(status->devices_covered), "ratio", ratio, "queued",
        nns_json_number(status->devices_queued), "failed", nns_json_number(status->devices_failed),
        "excluded", nns_json_number(status->devices_excluded), "namespaces_unlisted",
        nns_json_number(status->namespaces_unlisted), "missing", missing_object(status));
}

static json_t *namespaces_object(const struct nns_status *status)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "known", nns_json_number(status->namespaces), "capacity",
                     nns_json_number(status->namespaces_capacity), "pinned",
                     nns_json_number(status->namespaces_pinned), "astray",
                     nns_json_number(status->namespaces_astray), "evicted",
                     nns_json_number(status->namespaces_evicted_now));
}

static json_t *work_object(const struct nns_status *status)
{
    return json_pack("{s:o, s:o, s:o}", "batches_waiting", nns_json_number(status->batches_waiting), "claims",
                     nns_json_number(status->claims), "watchers", nns_json_number(status->watchers));
}

static json_t *meter_object(const struct nns_status *status)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:b}", "slots_in_use", nns_json_number(status->slots_in_use),
                     "slots_reserved", nns_json_number(status->slots_reserved), "slots_limit",
                     nns_json_number(status->slots_limit), "bytes", nns_json_number(status->meter_bytes),
                     "pinned", (int)status->meter_pinned);
}

static json_t *memory_object(const struct nns_memory *memory)
{
    return json_pack("{s:s?, s:o, s:o, s:o, s:o, s:o, s:o}", "allocator", memory->allocator, "arenas",
                     nns_json_number(memory->arenas), "allocated_bytes", nns_json_number(memory->allocated),
                     "active_bytes", nns_json_number(memory->active), "metadata_bytes",
                     nns_json_number(memory->metadata), "resident_bytes", nns_json_number(memory->resident),
                     "retained_bytes", nns_json_number(memory->retained));
}

static json_t *programs_object(const struct nns_status *status)
{
    return json_pack("{s:I, s:I}", nns_hook_name(NNS_INGRESS), (json_int_t)status->program_ids[NNS_INGRESS],
                     nns_hook_name(NNS_EGRESS), (json_int_t)status->program_ids[NNS_EGRESS]);
}

char *nns_answer_status(const struct nns_status *status)
{
    json_t *object = json_pack(
        "{s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "version", status->version, "instance",
        nns_json_text(status->instance, sizeof(status->instance)), "uptime_ms",
        nns_json_number(status->uptime_ms), "capabilities", capabilities_object(&status->capabilities),
        "coverage", coverage_object(status), "namespaces", namespaces_object(status), "work",
        work_object(status), "meter", meter_object(status), "memory", memory_object(&status->memory),
        "programs", programs_object(status), "counters", counters_object());

    return nns_json_line(json_pack("{s:o}", "status", object));
}

/* News. */

/* ISO 8601, UTC: "2026-01-31T23:59:59.999Z". */
static json_t *time_string(uint64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[48];
    struct tm parts;
    size_t used;

    gmtime_r(&seconds, &parts);
    used = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, sizeof(text) - used, ".%03uZ", (unsigned)(ms % 1000));
    return json_string(text);
}

static bool add_whose(json_t *object, const struct nns_news *news)
{
    return nns_json_add(object, "cookie", nns_json_number(news->cookie)) &&
           nns_json_add(object, "inum", json_integer(news->inum));
}

static bool add_about_device(json_t *object, const struct nns_news *news)
{
    const struct nns_device_row row = {.device = news->device, .retry_in_ms = news->amount};

    if (!add_whose(object, news) || !add_link(object, &news->device.link))
        return false;
    switch ((enum nns_news_kind)news->kind) {
    case NNS_NEWS_DEVICE_ATTACHED:
    case NNS_NEWS_DEVICE_RESTORED:
    case NNS_NEWS_DEVICE_FAILED:
        return add_state(object, &row);
    case NNS_NEWS_DEVICE_RENAMED:
        return nns_json_add(object, "former_name", nns_json_text(news->former, sizeof(news->former)));
    default:
        return true;
    }
}

static bool add_about(json_t *object, const struct nns_news *news)
{
    switch ((enum nns_news_kind)news->kind) {
    case NNS_NEWS_WATCHING:
        return nns_json_add(object, "instance", nns_json_text(news->text, SIZE_MAX));
    case NNS_NEWS_LOST:
        return nns_json_add(object, "missed", nns_json_number(news->amount));
    case NNS_NEWS_NAMESPACE_NEW:
        return add_whose(object, news) &&
               nns_json_add(object, "handle", json_string(handle_names[news->handle])) &&
               (!news->host || nns_json_add(object, "host", json_true()));
    case NNS_NEWS_NAMESPACE_FAILED:
        return add_whose(object, news) &&
               nns_json_add(object, "error", nns_json_text(news->text, SIZE_MAX)) &&
               (!news->amount || nns_json_add(object, "retry_in_ms", nns_json_number(news->amount)));
    case NNS_NEWS_NAMESPACE_GONE:
        return add_whose(object, news) && nns_json_add(object, "reason", json_string(news->text));
    default:
        return add_about_device(object, news);
    }
}

char *nns_answer_news(const struct nns_news *news)
{
    json_t *object =
        json_pack("{s:o, s:o, s:s}", "sequence", nns_json_number(news->sequence), "time",
                  time_string(news->time_ms), "event", nns_news_name((enum nns_news_kind)news->kind));

    if (object && !add_about(object, news)) {
        json_decref(object);
        return NULL;
    }
    return nns_json_line(json_pack("{s:o}", "event", object));
}
