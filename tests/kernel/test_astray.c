/* SPDX-License-Identifier: Apache-2.0 */
/* Handles by member, with the test in the owner's role: what makes a namespace go astray, what does not, and
 * what a look has to have seen before one is forgotten. */
#include "owner_host.h"

#include <sys/mount.h>
#include <sys/stat.h>

#include "core/counters.h"
#include "workers/astray.h"
#include "workers/handle.h"

enum { HOUR_MS = 3600 * 1000 };

static void set_up(void)
{
    owner_host_set_up();
    own.owner->context.way = NNS_HANDLES_BY_MEMBER;
    cr_assert(own.abilities.members);
}

TestSuite(astray, .init = set_up, .fini = owner_host_tear_down);

/* 0, or what entering says. */
NNS_OWNER_ONLY static int enter(struct nns_namespace *ns)
{
    int socket = nns_handle_enter(own.owner, ns, 1);

    if (socket < 0)
        return socket;
    nns_handle_leave(own.owner, ns, socket);
    return 0;
}

NNS_OWNER_ONLY static struct nns_namespace *lose(struct owner_held *held)
{
    struct nns_namespace *ns;

    *held = owner_host_hold();
    ns = owner_host_save(held);
    owner_host_let_go(held);
    cr_assert_eq(enter(ns), -ENOENT);
    cr_assert(nns_is_astray(ns));
    return ns;
}

/* What a worker would say of a look that it begins now. */
static struct nns_looked look(bool searched, int error)
{
    return (struct nns_looked){
        .searched = searched, .error = error, .began_ms = nns_now_ms(), .ended_ms = nns_now_ms()};
}

NNS_OWNER_ONLY static void judge(struct nns_looked looked)
{
    nns_astray_judge(own.owner, &looked);
}

/* As if its timeout had passed since it was missed for the first time. */
NNS_OWNER_ONLY static void age(struct nns_namespace *ns)
{
    cr_assert_neq(ns->lonely_ms, 0, "nobody has missed it yet");
    own.params.lonely_timeout_ms = 0;
}

Test(astray, a_place_is_all_that_is_kept)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    cr_assert_eq(ns->handle.kind, NNS_HANDLE_WEAK);
    cr_assert_eq(ns->handle.fd, -1);
    cr_assert_str_eq(ns->handle.place.path, held.path);
    cr_assert_eq(enter(ns), 0);
    cr_assert_eq(ns->handle.fd, -1);
    cr_assert_null(nns_cache_find_inum(own.context.cache, held.id.inum),
                   "nothing keeps its inum from others");
    owner_host_let_go(&held);
}

Test(astray, without_descriptors_nobody_goes_astray)
{
    struct owner_held held = owner_host_hold();
    struct nns_namespace *ns;
    struct rlimit before;

    nns_role_assert_owner();
    ns = owner_host_save(&held);
    owner_host_deny_descriptors(&before);
    cr_expect_eq(enter(ns), -EMFILE);
    owner_host_allow_descriptors(&before);
    cr_assert_not(nns_is_astray(ns));
    cr_assert_eq(enter(ns), 0);
    owner_host_let_go(&held);
}

/* The inum alone would not tell: the path leads to a namespace that stands under the same number. */
Test(astray, what_has_another_cookie_is_another)
{
    struct owner_held held = owner_host_hold();
    struct nns_netns_id made_up = {.cookie = held.id.cookie + 1000000, .inum = held.id.inum};
    struct nns_place place = {.path = strdup(held.path)};
    struct nns_namespace *ns;
    int fd = nns_netns_open_path(held.path);

    nns_role_assert_owner();
    cr_assert_eq(nns_save_opened(own.owner, made_up, fd, &place, &ns), NNS_SAVED_NEW);
    nns_handle_done(ns);
    own.abilities.ns_get_id = false;
    cr_expect_eq(enter(ns), -ENOENT);
    cr_expect(nns_is_astray(ns));
    cr_expect_eq(own.owner->astray.count, 1);
    owner_host_let_go(&held);
}

/* A file system would have to be asked: unknown is not gone, and not for the owner to wait for (I2, I9). */
Test(astray, a_path_that_could_keep_the_owner_waiting_is_left_to_workers, .timeout = 20)
{
    struct owner_held held = owner_host_hold();
    struct nns_place place = {.path = strdup("/mnt/deaf/ns")};
    struct nns_namespace *ns;
    char options[96];
    int server;

    nns_role_assert_owner();
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    host_run("mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && mkdir /mnt/deaf");
    server = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (server < 0)
        cr_skip_test("no file system can be served here");
    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", server);
    cr_assert_eq(mount("fuse", "/mnt/deaf", "fuse", 0, options), 0);
    cr_assert_eq(nns_save_opened(own.owner, held.id, nns_netns_open_path(held.path), &place, &ns),
                 NNS_SAVED_NEW);
    nns_handle_done(ns);
    cr_expect_eq(enter(ns), -ENOENT);
    cr_expect(nns_is_astray(ns));
    cr_expect_not(nns_astray_dead(ns));
    close(server);
    owner_host_let_go(&held);
}

Test(astray, one_is_found_again_with_all_it_had)
{
    struct owner_held held = owner_host_hold();
    struct nns_place place = {.path = strdup("/nonexistent")}, better = {.pid = (uint32_t)held.pid};
    struct nns_namespace *ns, *found;

    nns_role_assert_owner();
    cr_assert_eq(nns_save_opened(own.owner, held.id, nns_netns_open_path(held.path), &place, &ns),
                 NNS_SAVED_NEW);
    ns->visits.owed = true;
    nns_dequeue(own.owner, ns);
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_eq(enter(ns), -ENOENT);
    cr_assert_eq(owner_host_filters(&held), 2);
    cr_assert_eq(nns_save_opened(own.owner, held.id, nns_netns_open_path(held.path), &better, &found),
                 NNS_SAVED_FOUND);
    cr_assert_eq(found, ns);
    nns_handle_done(ns);
    cr_assert_eq(own.owner->astray.count, 0);
    cr_assert_eq(enter(ns), 0);
    cr_assert_eq(owner_host_device(ns, "lo")->state, NNS_DEVICE_ATTACHED);
    owner_host_let_go(&held);
}

Test(astray, one_that_searches_miss_for_long_enough_is_doomed)
{
    struct owner_held held;
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = lose(&held);
    own.params.lonely_timeout_ms = HOUR_MS;
    judge(look(true, 0));
    judge(look(true, 0));
    cr_assert_not(ns->doomed, "not for long enough");
    age(ns);
    judge(look(true, 0));
    cr_assert(ns->doomed);
    cr_assert_eq(nns_flush(own.owner, ns, NNS_FLUSH_LONELY), 0);
    cr_assert_eq(own.owner->astray.count, 0);
    cr_assert_null(owner_host_find(&held));
}

Test(astray, a_look_that_failed_says_nothing)
{
    struct owner_held held;
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = lose(&held);
    judge(look(true, -EACCES));
    cr_assert_eq(ns->lonely_ms, 0);
    judge(look(true, 0));
    age(ns);
    judge(look(true, -EACCES));
    cr_assert_not(ns->doomed);
}

Test(astray, a_look_that_began_before_says_nothing)
{
    struct nns_looked early = look(true, 0);
    struct owner_held held;
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = lose(&held);
    early.began_ms = ns->astray_ms - 1;
    own.owner->astray.wanted = false;
    judge(early);
    cr_assert_eq(ns->lonely_ms, 0);
    cr_assert(own.owner->astray.wanted, "nobody would look for it soon");
}

/* It does not see the mounts of others. */
Test(astray, a_mere_scan_dooms_nobody)
{
    struct owner_held held;
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = lose(&held);
    judge(look(false, 0));
    age(ns);
    judge(look(false, 0));
    cr_assert_not(ns->doomed);
}

Test(astray, one_that_was_seen_lives_though_nobody_could_open_it)
{
    struct owner_held held;
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = lose(&held);
    judge(look(true, 0));
    age(ns);
    nns_namespace_ask(ns);
    judge(look(true, 0));
    cr_assert_not(ns->doomed);
    cr_assert_eq(ns->lonely_ms, 0);
}

Test(astray, who_waits_is_told_when_a_look_has_ended)
{
    struct nns_order *order = owner_host_order(NNS_ORDER_WAIT);
    struct owner_held held;
    struct nns_namespace *ns;

    nns_role_assert_owner();
    ns = lose(&held);
    order->cookies = malloc(sizeof(*order->cookies));
    order->cookies[0] = nns_namespace_cookie(ns);
    order->cookie_count = 1;
    nns_answer_order(own.owner, order);
    cr_assert_null(nns_completions_take(&own.completions).orders);
    judge(look(false, 0));
    cr_assert_eq(owner_host_await_order(), order);
    cr_assert_eq(order->error, NNS_WAIT_ASTRAY);
    nns_order_free(order);
}

/* The first of two mounts is hidden by another namespace's: the path of the second is the one to take. */
Test(astray, at_the_end_a_hidden_mount_is_none)
{
    struct owner_held held = owner_host_hold(), other = owner_host_hold();
    struct nns_namespace *ns;

    nns_role_assert_owner();
    cr_assert_eq(unshare(CLONE_NEWNS), 0);
    host_run("mount --make-rprivate / && mount -t tmpfs tmpfs /mnt && touch /mnt/a /mnt/b");
    ns = owner_host_save(&held);
    nns_handle_done(ns);
    host_run("mount --bind %s /mnt/a && mount --bind %s /mnt/b && mount --bind %s /mnt/a", held.path,
             held.path, other.path);
    owner_host_let_go(&held);
    nns_astray_gather(own.owner);
    cr_assert_not(nns_is_astray(ns));
    cr_assert_str_eq(ns->handle.place.path, "/mnt/b");
    cr_assert_not(ns->doomed);
    owner_host_let_go(&other);
}

/* Two, of whom the one dies as soon as the other is entered. */
static const struct owner_held *twins;

int __real_setns(int fd, int type);
int __wrap_setns(int fd, int type);

int __wrap_setns(int fd, int type)
{
    struct stat status;

    if (twins && fstat(fd, &status) == 0) {
        owner_host_let_go(&twins[status.st_ino == twins[0].id.inum]);
        twins = NULL;
    }
    return __real_setns(fd, type);
}

Test(astray, who_dies_while_all_are_forgotten_is_no_failure)
{
    struct owner_held held[] = {owner_host_hold(), owner_host_hold()};

    nns_role_assert_owner();
    for (int i = 0; i < 2; i++) {
        nns_dequeue(own.owner, owner_host_save(&held[i]));
        cr_assert_eq(owner_host_filters(&held[i]), 2);
    }
    twins = held;
    cr_expect_eq(nns_flush_all(own.owner, NNS_FLUSH_ORDERED), 0);
    cr_assert_null(twins, "nobody was entered");
    cr_expect_eq(nns_counter_read(NNS_COUNT_DETACH_FAILED), 0);
    for (int i = 0; i < 2; i++) {
        cr_expect_null(owner_host_find(&held[i]));
        if (kill(held[i].pid, 0) == 0) {
            cr_expect_eq(owner_host_filters(&held[i]), 0);
            owner_host_let_go(&held[i]);
        }
    }
}
