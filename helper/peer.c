// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is at the other end of the server's socket, and who else could be.
 *
 * A server cannot harm the host, so none is refused. But the user meant a certain one: a disk
 * that somebody else serves is read and believed all the same. So it is said where the permissions
 * let others take the server's place, or its device.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "log.h"
#include "peer.h"

/**
 * peer_judge() - what is to be said about the permissions of a socket
 * @path: absolute
 * @uid: of the process that serves it
 * @text: result, one line without newline
 * @len: size of @text
 *
 * Context: any; looks at files.
 * Return: length of the text; 0 if all is well, or nothing can be found out.
 */
size_t peer_judge(const char *path, uid_t uid, char *text, size_t len)
{
	char dir[PATH_MAX];
	struct stat st;
	char *slash;

	*text = '\0';
	if (stat(path, &st) || !S_ISSOCK(st.st_mode))
		return 0;
	if (uid && uid != st.st_uid) {
		snprintf(text, len, "%s belongs to user %u, but user %u serves it; is it the right server?",
			 path, st.st_uid, uid);
		return strlen(text);
	}
	if (st.st_mode & 0002) {
		snprintf(text, len, "%s: every user may connect to this server; chmod o-w keeps them out",
			 path);
		return strlen(text);
	}
	snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (!slash)
		return 0;
	slash[slash == dir] = '\0';
	if (!stat(dir, &st) && (st.st_mode & (01000 | 0002)) == 0002)
		snprintf(text, len, "every user may replace %s; keep it in a directory that is not writable by all",
			 path);
	return strlen(text);
}

/**
 * peer_check() - say so where others could take the place of the server
 * @fd: connected socket of any kind; a note is made about UNIX sockets with a path only
 *
 * Context: set-up, before the sandbox.
 */
void peer_check(int fd)
{
	struct sockaddr_un addr = { 0 };
	socklen_t len = sizeof(addr) - 1;
	struct ucred cred = { 0 };
	char text[PATH_MAX + 100];

	if (getpeername(fd, (struct sockaddr *)&addr, &len) || addr.sun_family != AF_UNIX ||
	    addr.sun_path[0] != '/')
		return;
	len = sizeof(cred);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return;
	if (peer_judge(addr.sun_path, cred.uid, text, sizeof(text)))
		log_note("%s", text);
}
