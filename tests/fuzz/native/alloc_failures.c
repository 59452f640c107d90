/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the capture files of the command line with memory that runs out: the n-th allocation of
 * the core fails, alone or with all later ones, for every n up to MOST_RUNS and evenly spread
 * numbers beyond. Whatever fails, all is freed, nothing stays accounted and the counters add up.
 *
 * Linked with --wrap for the allocation functions; those inside of libraries are not reached.
 */
#include "reader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_RUNS 150u

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s, allocation %zu%s: %s\n", path, fail_at,               \
				fail_on ? " and on" : "", #condition);                             \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);

static size_t allocations; /* of this run */
static size_t live;	   /* blocks not freed yet */
static size_t fail_at;	   /* 0: none fails */
static bool fail_on;	   /* all later ones fail, too */

static bool fails(void)
{
	allocations++;
	return fail_at && (fail_on ? allocations >= fail_at : allocations == fail_at);
}

static void *counted(void *block)
{
	live += block != NULL;
	return block;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t size)
{
	if (fails())
		return NULL;
	return block ? __real_realloc(block, size) : counted(__real_realloc(NULL, size));
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : counted(__real_strdup(text));
}

void __wrap_free(void *block)
{
	live -= block != NULL;
	__real_free(block);
}

static void check_counters(const char *path, const struct core *core)
{
	const struct core_counters *counters = core_counters(core);

	CHECK(core_buffered_bytes(core) == 0);
	CHECK(counters->packets_read == counters->segments + counters->drop_linktype +
						counters->drop_not_ip + counters->drop_not_tcp +
						counters->drop_fragment + counters->drop_truncated +
						counters->drop_malformed);
	CHECK(counters->flows_closed <= counters->flows_opened);
	CHECK(counters->exchanges <= counters->requests);
	CHECK(counters->exchanges_started <= counters->requests);
}

static uint64_t run(const char *path, int fd)
{
	struct core_limits limits;
	struct core *core;
	struct reader *reader;
	uint64_t exchanges = 0;

	allocations = 0;
	core_limits_default(&limits);
	core = core_new(&limits, "authorization\n", 0, 1);
	reader = core ? reader_new(fd) : NULL;
	if (reader) {
		enum reader_status status;

		CHECK(!lseek(fd, 0, SEEK_SET));
		do {
			core_batch_clear(core);
			status = reader_run(reader, core, 4096, 100);
		} while (status == READER_MORE);
		CHECK((status == READER_ERROR) == (reader_error(reader)[0] != 0));
		core_finish(core);
		check_counters(path, core);
		exchanges = core_counters(core)->exchanges;
	}
	reader_free(reader);
	core_free(core);
	CHECK(live == 0);
	return exchanges;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *path = argv[i];
		int fd = open(path, O_RDONLY);
		uint64_t exchanges;
		size_t total, step;

		fail_at = 0;
		CHECK(fd >= 0);
		exchanges = run(path, fd);
		total = allocations;
		step = total / MOST_RUNS + 1;
		for (fail_at = 1; fail_at <= total; fail_at += fail_at < MOST_RUNS ? 1 : step) {
			for (int on = 0; on < 2; on++) {
				fail_on = on;
				CHECK(run(path, fd) <= exchanges + 1);
			}
		}
		close(fd);
		printf("%s: %zu allocations\n", path, total);
	}
	return 0;
}
