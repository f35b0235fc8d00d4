/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: one per path, in the order an access takes. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfiouser

#if !defined(_KMOD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _KMOD_TRACE_H

#include <linux/tracepoint.h>
#include <linux/vfiouser.h>

#define vfiouser_op_name(op)						\
	__print_symbolic(op,						\
			 { VFIOUSER_OP_NOP, "nop" },			\
			 { VFIOUSER_OP_READ, "read" },			\
			 { VFIOUSER_OP_WRITE, "write" },		\
			 { VFIOUSER_OP_RESET, "reset" },		\
			 { VFIOUSER_OP_IRQ_ARM, "irq_arm" },		\
			 { VFIOUSER_OP_IRQ_DISARM, "irq_disarm" },	\
			 { VFIOUSER_OP_IRQ_UNMASK, "irq_unmask" })

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
		__entry->value = *(const u64 *)req->data;
	),
	TP_printk("vfu%u %s%s region %u offset 0x%llx count %u value 0x%llx",
		  __entry->id, vfiouser_op_name(__entry->op),
		  __entry->flags & VFIOUSER_REQ_POSTED ? " posted" : "",
		  __entry->region, __entry->offset, __entry->count,
		  __entry->value)
);

TRACE_EVENT(vfiouser_reply,
	TP_PROTO(u32 id, const struct vfiouser_request *req, int error, u64 ns),
	TP_ARGS(id, req, error, ns),
	TP_STRUCT__entry(
		__field(u32, id)
		__field(u16, op)
		__field(u32, region)
		__field(u64, offset)
		__field(int, error)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->id = id;
		__entry->op = req->op;
		__entry->region = req->region;
		__entry->offset = req->offset;
		__entry->error = error;
		__entry->ns = ns;
	),
	TP_printk("vfu%u %s region %u offset 0x%llx error %d after %llu ns",
		  __entry->id, vfiouser_op_name(__entry->op), __entry->region,
		  __entry->offset, __entry->error, __entry->ns)
);

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

#endif /* _KMOD_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
