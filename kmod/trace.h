/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: one per path, in the order an access takes.
 *
 * Each has @id, the number of the device, to filter by. "vfiouserctl trace" reads what they print:
 * its words and their order are an interface with helper/trace.c.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfiouser

#if !defined(_KMOD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _KMOD_TRACE_H

#include <linux/dma-direction.h>
#include <linux/tracepoint.h>
#include <linux/vfiouser.h>

#ifndef VFU_TRACE_STACK
#define VFU_TRACE_STACK		8	/* return addresses that a config access comes with */

/* The first bytes of an access, as a number. */
static inline u64 vfu_trace_value(const void *data, u32 count)
{
	u64 value = 0;

	memcpy(&value, data, min_t(u32, count, sizeof(value)));
	return value;
}
#endif

#define vfiouser_op_name(op)						\
	__print_symbolic(op,						\
			 { VFIOUSER_OP_NOP, "nop" },			\
			 { VFIOUSER_OP_READ, "read" },			\
			 { VFIOUSER_OP_WRITE, "write" },		\
			 { VFIOUSER_OP_RESET, "reset" },		\
			 { VFIOUSER_OP_IRQ_ARM, "irq_arm" },		\
			 { VFIOUSER_OP_IRQ_DISARM, "irq_disarm" },	\
			 { VFIOUSER_OP_IRQ_UNMASK, "irq_unmask" })

#define vfiouser_state_name(state)					\
	__print_symbolic(state,						\
			 { VFIOUSER_STATE_NONE, "none" },		\
			 { VFIOUSER_STATE_PROBING, "probing" },		\
			 { VFIOUSER_STATE_LIVE, "live" },		\
			 { VFIOUSER_STATE_LOST, "lost" },		\
			 { VFIOUSER_STATE_REMOVING, "removing" },	\
			 { VFIOUSER_STATE_GONE, "gone" },		\
			 { VFIOUSER_STATE_FROZEN, "frozen" },		\
			 { VFIOUSER_STATE_RESUMING, "resuming" })

#define vfiouser_event_name(event)					\
	__print_symbolic(event,						\
			 { VFIOUSER_EVENT_ADDED, "added" },		\
			 { VFIOUSER_EVENT_FAILED, "failed" },		\
			 { VFIOUSER_EVENT_LOST, "lost" },		\
			 { VFIOUSER_EVENT_REMOVED, "removed" },		\
			 { VFIOUSER_EVENT_FROZEN, "frozen" },		\
			 { VFIOUSER_EVENT_RECOVERED, "recovered" })

#define vfiouser_dir_name(dir)						\
	__print_symbolic(dir,						\
			 { DMA_BIDIRECTIONAL, "both" },			\
			 { DMA_TO_DEVICE, "to_device" },		\
			 { DMA_FROM_DEVICE, "from_device" },		\
			 { DMA_NONE, "none" })

/* For those who print events on their own, as perf and trace-cmd: they know numbers only. */
TRACE_DEFINE_ENUM(VFIOUSER_OP_NOP);
TRACE_DEFINE_ENUM(VFIOUSER_OP_READ);
TRACE_DEFINE_ENUM(VFIOUSER_OP_WRITE);
TRACE_DEFINE_ENUM(VFIOUSER_OP_RESET);
TRACE_DEFINE_ENUM(VFIOUSER_OP_IRQ_ARM);
TRACE_DEFINE_ENUM(VFIOUSER_OP_IRQ_DISARM);
TRACE_DEFINE_ENUM(VFIOUSER_OP_IRQ_UNMASK);
TRACE_DEFINE_ENUM(VFIOUSER_STATE_NONE);
TRACE_DEFINE_ENUM(VFIOUSER_STATE_PROBING);
TRACE_DEFINE_ENUM(VFIOUSER_STATE_LIVE);
TRACE_DEFINE_ENUM(VFIOUSER_STATE_LOST);
TRACE_DEFINE_ENUM(VFIOUSER_STATE_REMOVING);
TRACE_DEFINE_ENUM(VFIOUSER_STATE_GONE);
TRACE_DEFINE_ENUM(VFIOUSER_STATE_FROZEN);
TRACE_DEFINE_ENUM(VFIOUSER_STATE_RESUMING);
TRACE_DEFINE_ENUM(VFIOUSER_EVENT_ADDED);
TRACE_DEFINE_ENUM(VFIOUSER_EVENT_FAILED);
TRACE_DEFINE_ENUM(VFIOUSER_EVENT_LOST);
TRACE_DEFINE_ENUM(VFIOUSER_EVENT_REMOVED);
TRACE_DEFINE_ENUM(VFIOUSER_EVENT_FROZEN);
TRACE_DEFINE_ENUM(VFIOUSER_EVENT_RECOVERED);
TRACE_DEFINE_ENUM(DMA_BIDIRECTIONAL);
TRACE_DEFINE_ENUM(DMA_TO_DEVICE);
TRACE_DEFINE_ENUM(DMA_FROM_DEVICE);
TRACE_DEFINE_ENUM(DMA_NONE);

/* An access of a driver to a BAR, when it is over. */
TRACE_EVENT(vfiouser_trap,
	TP_PROTO(u32 id, unsigned long ip, bool write, int region, u64 offset, const void *data,
		 u32 count, u64 ns),
	TP_ARGS(id, ip, write, region, offset, data, count, ns),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(unsigned long, ip)
		__field(bool, write)
		__field(int, region)
		__field(u64, offset)
		__field(u32, count)
		__field(u64, value)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->ip = ip;
		__entry->write = write;
		__entry->region = region;
		__entry->offset = offset;
		__entry->count = count;
		__entry->value = vfu_trace_value(data, count);
		__entry->ns = ns;
	),
	TP_printk("vfu%u %s region %d offset 0x%llx count %u value 0x%llx ns %llu by %pS",
		  __entry->id, __entry->write ? "write" : "read", __entry->region, __entry->offset,
		  __entry->count, __entry->value, __entry->ns, (void *)__entry->ip)
);

/* An access to config space, when it is over; also those that the module answers on its own. */
TRACE_EVENT(vfiouser_config,
	TP_PROTO(u32 id, bool write, u32 where, u32 size, u32 value, u64 ns,
		 const unsigned long *stack),
	TP_ARGS(id, write, where, size, value, ns, stack),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(bool, write)
		__field(u32, where)
		__field(u32, size)
		__field(u32, value)
		__field(u64, ns)
		__array(unsigned long, stack, VFU_TRACE_STACK)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->write = write;
		__entry->where = where;
		__entry->size = size;
		__entry->value = value;
		__entry->ns = ns;
		memcpy(__entry->stack, stack, sizeof(__entry->stack));
	),
	TP_printk("vfu%u %s offset 0x%x count %u value 0x%x ns %llu by %pS %pS %pS %pS %pS %pS %pS %pS",
		  __entry->id, __entry->write ? "write" : "read", __entry->where, __entry->size,
		  __entry->value, __entry->ns, (void *)__entry->stack[0],
		  (void *)__entry->stack[1], (void *)__entry->stack[2],
		  (void *)__entry->stack[3], (void *)__entry->stack[4],
		  (void *)__entry->stack[5], (void *)__entry->stack[6],
		  (void *)__entry->stack[7])
);

/* A write that signalled the server by an eventfd. */
TRACE_EVENT(vfiouser_ioeventfd,
	TP_PROTO(u32 id, u32 region, u64 offset, const void *data, u32 count),
	TP_ARGS(id, region, offset, data, count),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, region)
		__field(u64, offset)
		__field(u32, count)
		__field(u64, value)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->region = region;
		__entry->offset = offset;
		__entry->count = count;
		__entry->value = vfu_trace_value(data, count);
	),
	TP_printk("vfu%u region %u offset 0x%llx count %u value 0x%llx", __entry->id,
		  __entry->region, __entry->offset, __entry->count, __entry->value)
);

/* A request goes into the ring, for the helper. */
TRACE_EVENT(vfiouser_request,
	TP_PROTO(u32 id, const struct vfiouser_request *req),
	TP_ARGS(id, req),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u16, op)
		__field(u16, flags)
		__field(u32, region)
		__field(u64, offset)
		__field(u32, count)
		__field(u64, value)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->op = req->op;
		__entry->flags = req->flags;
		__entry->region = req->region;
		__entry->offset = req->offset;
		__entry->count = req->count;
		__entry->value = req->op == VFIOUSER_OP_WRITE ?
				 vfu_trace_value(req->data, req->count) : 0;
	),
	TP_printk("vfu%u %s%s region %u offset 0x%llx count %u value 0x%llx",
		  __entry->id, vfiouser_op_name(__entry->op),
		  __entry->flags & VFIOUSER_REQ_POSTED ? " posted" : "",
		  __entry->region, __entry->offset, __entry->count,
		  __entry->value)
);

/* Its answer has come, or the device is lost. */
TRACE_EVENT(vfiouser_reply,
	TP_PROTO(u32 id, const struct vfiouser_request *req, const void *data, int error, u64 ns),
	TP_ARGS(id, req, data, error, ns),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u16, op)
		__field(u32, region)
		__field(u64, offset)
		__field(u32, count)
		__field(u64, value)
		__field(int, error)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->op = req->op;
		__entry->region = req->region;
		__entry->offset = req->offset;
		__entry->count = req->count;
		__entry->value = data && !error ? vfu_trace_value(data, req->count) : 0;
		__entry->error = error;
		__entry->ns = ns;
	),
	TP_printk("vfu%u %s region %u offset 0x%llx count %u value 0x%llx error %d ns %llu",
		  __entry->id, vfiouser_op_name(__entry->op), __entry->region,
		  __entry->offset, __entry->count, __entry->value, __entry->error, __entry->ns)
);

/* An interrupt is about to be handled. */
TRACE_EVENT(vfiouser_irq,
	TP_PROTO(u32 id, u32 index, u32 vector, unsigned int cpu),
	TP_ARGS(id, index, vector, cpu),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, index)
		__field(u32, vector)
		__field(unsigned int, cpu)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->index = index;
		__entry->vector = vector;
		__entry->cpu = cpu;
	),
	TP_printk("vfu%u index %u vector %u to cpu %u", __entry->id,
		  __entry->index, __entry->vector, __entry->cpu)
);

DECLARE_EVENT_CLASS(vfiouser_dma,
	TP_PROTO(u32 id, u64 addr, u64 size, int dir, unsigned long attrs),
	TP_ARGS(id, addr, size, dir, attrs),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u64, addr)
		__field(u64, size)
		__field(int, dir)
		__field(unsigned long, attrs)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->addr = addr;
		__entry->size = size;
		__entry->dir = dir;
		__entry->attrs = attrs;
	),
	TP_printk("vfu%u addr 0x%llx size %llu dir %s attrs 0x%lx", __entry->id, __entry->addr,
		  __entry->size, vfiouser_dir_name(__entry->dir), __entry->attrs)
);

DEFINE_EVENT(vfiouser_dma, vfiouser_dma_map,
	TP_PROTO(u32 id, u64 addr, u64 size, int dir, unsigned long attrs),
	TP_ARGS(id, addr, size, dir, attrs)
);

DEFINE_EVENT(vfiouser_dma, vfiouser_dma_unmap,
	TP_PROTO(u32 id, u64 addr, u64 size, int dir, unsigned long attrs),
	TP_ARGS(id, addr, size, dir, attrs)
);

DEFINE_EVENT(vfiouser_dma, vfiouser_dma_sync,
	TP_PROTO(u32 id, u64 addr, u64 size, int dir, unsigned long attrs),
	TP_ARGS(id, addr, size, dir, attrs)
);

DEFINE_EVENT(vfiouser_dma, vfiouser_dma_alloc,
	TP_PROTO(u32 id, u64 addr, u64 size, int dir, unsigned long attrs),
	TP_ARGS(id, addr, size, dir, attrs)
);

DEFINE_EVENT(vfiouser_dma, vfiouser_dma_free,
	TP_PROTO(u32 id, u64 addr, u64 size, int dir, unsigned long attrs),
	TP_ARGS(id, addr, size, dir, attrs)
);

/* The device's state changes, recovery included. */
TRACE_EVENT(vfiouser_state,
	TP_PROTO(u32 id, u32 state),
	TP_ARGS(id, state),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, state)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->state = state;
	),
	TP_printk("vfu%u state %s", __entry->id, vfiouser_state_name(__entry->state))
);

/* What the events group of the netlink family is told. */
TRACE_EVENT(vfiouser_event,
	TP_PROTO(u32 id, u32 event, int error),
	TP_ARGS(id, event, error),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u32, event)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->event = event;
		__entry->error = error;
	),
	TP_printk("vfu%u event %s error %d", __entry->id, vfiouser_event_name(__entry->event),
		  __entry->error)
);

#endif /* _KMOD_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
