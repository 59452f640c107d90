/* SPDX-License-Identifier: Apache-2.0 */
/* What Python calls once per batch, so that a batch costs one crossing. */
#ifndef HERON_FACE_H
#define HERON_FACE_H

#include "live.h"
#include "reader.h"

struct batch_view {
	const uint8_t *data; /* until the next call */
	size_t size;
	int status;	     /* enum reader_status */
	uint64_t bytes_read; /* of the file so far */
	uint64_t now_ns;     /* event clock */
};

static inline void face_take(struct core *core, struct batch_view *view)
{
	view->data = core_batch_data(core);
	view->size = core_batch_size(core);
	view->now_ns = core_now_ns(core);
}

/* Forgets the last batch, reads the next one. */
static inline void face_read(struct reader *reader, struct core *core, size_t max_batch,
			     uint64_t max_packets, struct batch_view *view)
{
	core_batch_clear(core);
	view->status = reader_run(reader, core, max_batch, max_packets);
	view->bytes_read = reader_bytes(reader);
	face_take(core, view);
}

/* The same for an interface. */
static inline void face_live(struct live *live, struct core *core, size_t max_batch, int wait_ms,
			     struct batch_view *view)
{
	core_batch_clear(core);
	view->status = live_run(live, core, max_batch, wait_ms);
	face_take(core, view);
}

#endif
