/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Input: a capture file, as it is. It is read twice, in one go and packet by packet: both must
 * give the same records, the same counters and the same error.
 */
#define _GNU_SOURCE
#include "reader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	struct core *core;
	size_t size;
	char error[256];
};

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void read_all(struct outcome *outcome, int fd, const struct core_limits *limits,
		     size_t max_batch, uint64_t max_packets)
{
	struct reader *reader = reader_new(fd);
	enum reader_status status;

	outcome->core = core_new(limits, "authorization\n", 0, 1);
	must(reader && outcome->core && !lseek(fd, 0, SEEK_SET));
	do
		status = reader_run(reader, outcome->core, max_batch, max_packets);
	while (status == READER_MORE);
	strncpy(outcome->error, reader_error(reader), sizeof(outcome->error) - 1);
	must((status == READER_ERROR) == !!outcome->error[0]);
	must(!strchr(outcome->error, '\n'));
	core_finish(outcome->core);
	must(!core_buffered_bytes(outcome->core));
	outcome->size = core_batch_size(outcome->core);
	reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole = {0};
	struct outcome pieces = {0};
	struct core_limits limits;
	int fd = memfd_create("capture", 0);

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	core_limits_default(&limits);
	limits.max_buffered_bytes = 8 << 20;
	limits.max_body_bytes = 1 << 20;
	read_all(&whole, fd, &limits, SIZE_MAX, UINT64_MAX);
	read_all(&pieces, fd, &limits, SIZE_MAX, 1);
	must(whole.size == pieces.size);
	must(!whole.size ||
	     !memcmp(core_batch_data(whole.core), core_batch_data(pieces.core), whole.size));
	must(!memcmp(core_counters(whole.core), core_counters(pieces.core),
		     sizeof(struct core_counters)));
	must(!strcmp(whole.error, pieces.error));
	core_free(whole.core);
	core_free(pieces.core);
	close(fd);
	return 0;
}
