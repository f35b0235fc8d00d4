/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file system (FUSE) of one file, whose process decides how long a close() of that takes: the
 * kernel waits for the answer to a flush, and no signal ends that.
 */
#ifndef FUSE_FILE_H
#define FUSE_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FUSE_FILE	"file"
#define FUSE_FLUSHED	3	/* what fuse_serve() returns after a flush */

static inline int fuse_reply(int dev, uint64_t unique, int error, const void *data, size_t len)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + len), .error = error, .unique = unique,
	};
	struct iovec v[2] = { { &out, sizeof(out) }, { (void *)data, len } };

	return writev(dev, v, 2) < 0 ? -errno : 0;
}

/* Returns a descriptor for fuse_serve(), which is the file system's life, or -1 with errno set. */
static inline int fuse_mount(const char *dir)
{
	int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[80];

	if (dev < 0)
		return -1;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", dev);
	if (mount("test", dir, "fuse", MS_NOSUID | MS_NODEV, options)) {
		close(dev);
		return -1;
	}
	return dev;
}

/*
 * Serves it until there is nothing to read. @flush is called for each close(), and says whether
 * that is answered; without one the first is the end.
 */
static inline int fuse_serve(int dev, bool (*flush)(void))
{
	static union {
		struct fuse_in_header in;
		char bytes[1 << 17];
	} buf;
	const struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096,
	};
	const struct fuse_attr file = {
		.ino = 2, .size = 4096, .mode = S_IFREG | 0600, .nlink = 1,
	};
	const struct fuse_attr root = { .ino = 1, .mode = S_IFDIR | 0700, .nlink = 2 };
	const struct fuse_entry_out entry = { .nodeid = 2, .attr = file };
	const struct fuse_open_out opened = { .fh = 1 };
	struct fuse_attr_out attr = { .attr_valid = 0 };
	ssize_t n;
	int err;

	for (;;) {
		n = read(dev, &buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 2;
		err = 0;
		switch (buf.in.opcode) {
		case FUSE_INIT:
			err = fuse_reply(dev, buf.in.unique, 0, &init, sizeof(init));
			break;
		case FUSE_LOOKUP:
			err = fuse_reply(dev, buf.in.unique, 0, &entry, sizeof(entry));
			break;
		case FUSE_GETATTR:
			attr.attr = buf.in.nodeid == 1 ? root : file;
			err = fuse_reply(dev, buf.in.unique, 0, &attr, sizeof(attr));
			break;
		case FUSE_OPEN:
			err = fuse_reply(dev, buf.in.unique, 0, &opened, sizeof(opened));
			break;
		case FUSE_FLUSH:
			if (!flush)
				return FUSE_FLUSHED;
			if (flush())
				err = fuse_reply(dev, buf.in.unique, 0, NULL, 0);
			break;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
			break;
		case FUSE_RELEASE:
			err = fuse_reply(dev, buf.in.unique, 0, NULL, 0);
			break;
		default:
			err = fuse_reply(dev, buf.in.unique, -EOPNOTSUPP, NULL, 0);
		}
		/* who asked may be gone */
		if (err && err != -ENOENT)
			return 1;
	}
}

#endif
