# SPDX-License-Identifier: GPL-2.0-only
#
# make              build the module for the running kernel, the helper and the bundled servers
# make install      install them (DESTDIR, prefix); dkms-install instead leaves the module to DKMS
# make demo         a vfio-user disk in a VM, from nothing
# make check        every test
# make bench        how fast it is
# make help         the rest
#
# Kbuild describes the module to the kernel's build system; this file is for people.

O ?= build
override O := $(abspath $(O))
export O

KDIR ?= /lib/modules/$(shell uname -r)/build
KERNEL ?= 6.1
TESTS ?=
JOBS ?=
QUICK ?=
SMP ?=
TIME ?= 60

prefix ?= /usr/local
sbindir ?= $(prefix)/sbin
includedir ?= $(prefix)/include
mandir ?= $(prefix)/share/man
libexecdir ?= $(prefix)/libexec
# where systemd, udev and their like look below any prefix
libdir_sys ?= $(prefix)/lib
unitdir ?= $(libdir_sys)/systemd/system
# a distribution has vendor-completions in its place
zshdir ?= $(prefix)/share/zsh/site-functions
INSTALL ?= install
# kbuild does not run it where headers come without a System.map, as Debian's
DEPMOD ?= /sbin/depmod
MODINFO ?= /sbin/modinfo
# nor has a distribution's kernel the key here that modules would be signed with
NO_SIGN = $(if $(wildcard $(KDIR)/certs/signing_key.pem),,CONFIG_MODULE_SIG_ALL=)

MODULE := vfiouser_pci
VERSION := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' dkms.conf)
DKMS_SRC := $(DESTDIR)/usr/src/$(MODULE)-$(VERSION)
# man pages are made where docutils is installed
RST2MAN := $(shell command -v rst2man || command -v rst2man.py)
MANPAGES := $(if $(RST2MAN),$(patsubst Documentation/man/%.rst,$(O)/man/%,$(wildcard Documentation/man/*.8.rst)))
UNITS := $(patsubst packaging/systemd/%.in,%,$(wildcard packaging/systemd/*.in))
# what is installed below the prefix as it is: its name in the tree, a colon, and its place there
PLAIN := packaging/udev/60-vfiouser.rules:$(libdir_sys)/udev/rules.d/60-vfiouser.rules \
	completions/vfiouserctl.bash:$(prefix)/share/bash-completion/completions/vfiouserctl \
	completions/_vfiouserctl:$(zshdir)/_vfiouserctl \
	contrib/wireshark/vfio-user.lua:$(prefix)/share/vfiouser/vfio-user.lua \
	Documentation/schema/vfiouserctl.json:$(prefix)/share/vfiouser/vfiouserctl.json \
	packaging/systemd/tmpfiles.conf:$(libdir_sys)/tmpfiles.d/vfiouser.conf \
	packaging/systemd/modules-load.conf:$(libdir_sys)/modules-load.d/vfiouser.conf \
	packaging/examples/NAME.conf:$(prefix)/share/doc/vfiouser-utils/examples/NAME.conf
place = $(DESTDIR)$(lastword $(subst :, ,$(1)))
# paths in files that name programs
SUBST = sed -e 's|@sbindir@|$(sbindir)|g; s|/usr/libexec|$(libexecdir)|g; s|@libexecdir@|$(libexecdir)|g'

all: helper servers
	@if [ -e $(KDIR)/Makefile ]; then \
		$(MAKE) module; \
	else \
		echo "no kernel headers in $(KDIR): the module is not built (DKMS builds it on the" \
			"machine where it runs, or set KDIR)"; \
	fi

module:
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

helper:
	$(MAKE) -C helper

servers:
	$(MAKE) -C servers
	$(MAKE) -C selftests/servers
	$(MAKE) -C Documentation/examples adder

unit:
	$(MAKE) -C selftests/unit run

$(O)/man/%: Documentation/man/%.rst
	@mkdir -p $(@D)
	$(RST2MAN) $< $@

man: $(MANPAGES)

install: helper servers $(MANPAGES)
	$(INSTALL) -D -m 755 $(O)/helper/vfiouserctl $(DESTDIR)$(sbindir)/vfiouserctl
	$(INSTALL) -D -m 755 $(O)/servers/vfiouser-nvme $(DESTDIR)$(libexecdir)/vfiouser/vfiouser-nvme
	$(INSTALL) -D -m 755 $(O)/servers/vfiouser-vhost $(DESTDIR)$(libexecdir)/vfiouser/vfiouser-vhost
	$(INSTALL) -D -m 644 uapi/linux/vfiouser.h $(DESTDIR)$(includedir)/linux/vfiouser.h
	$(INSTALL) -d $(DESTDIR)$(prefix)/share/vfio-user $(DESTDIR)$(unitdir)
	$(SUBST) servers/nvme/50-vfiouser-nvme.json >$(DESTDIR)$(prefix)/share/vfio-user/50-vfiouser-nvme.json
	$(SUBST) servers/vhost/50-vfiouser-vhost.json >$(DESTDIR)$(prefix)/share/vfio-user/50-vfiouser-vhost.json
	set -e; for unit in $(UNITS); do \
		$(SUBST) packaging/systemd/$$unit.in >$(DESTDIR)$(unitdir)/$$unit; \
		chmod 644 $(DESTDIR)$(unitdir)/$$unit; \
	done
	$(foreach file,$(PLAIN),$(INSTALL) -D -m 644 $(firstword $(subst :, ,$(file))) $(call place,$(file)) &&) :
	@set -e; for page in $(MANPAGES); do \
		$(INSTALL) -D -m 644 $$page $(DESTDIR)$(mandir)/man8/$$(basename $$page); \
	done
	@if [ -e $(MODULE).ko ]; then \
		$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_PATH=$(DESTDIR) \
			INSTALL_MOD_DIR=updates $(NO_SIGN) modules_install; \
		$(if $(DESTDIR),:,$(DEPMOD) $$($(MODINFO) -F vermagic $(MODULE).ko | cut -d' ' -f1)); \
	else \
		echo "The module was not built here. For DKMS to build it for each kernel:"; \
		echo "  make dkms-install && dkms install $(MODULE)/$(VERSION)"; \
	fi

uninstall:
	rm -f $(DESTDIR)$(sbindir)/vfiouserctl $(DESTDIR)$(includedir)/linux/vfiouser.h
	rm -f $(DESTDIR)$(prefix)/share/vfio-user/50-vfiouser-nvme.json
	rm -f $(DESTDIR)$(prefix)/share/vfio-user/50-vfiouser-vhost.json
	rm -f $(addprefix $(DESTDIR)$(unitdir)/,$(UNITS)) $(foreach file,$(PLAIN),$(call place,$(file)))
	rm -rf $(DESTDIR)$(libexecdir)/vfiouser
	rm -f $(patsubst Documentation/man/%.rst,$(DESTDIR)$(mandir)/man8/%,$(wildcard Documentation/man/*.8.rst))
	rm -f $(DESTDIR)/lib/modules/*/updates/$(MODULE).ko*

# The module's source where DKMS looks for it; "dkms install" builds it.
dkms-install:
	rm -rf $(DKMS_SRC)
	$(INSTALL) -d $(DKMS_SRC)
	cp -r Kbuild dkms.conf uapi $(DKMS_SRC)/
	cd kmod && find . -name '*.[chS]' ! -name '*.mod.c' -exec $(INSTALL) -D -m 644 {} $(abspath $(DKMS_SRC))/kmod/{} \;

dkms-uninstall:
	rm -rf $(DKMS_SRC)

deps:
	scripts/install-deps

check: deps
	scripts/check $(if $(QUICK),--quick) $(if $(JOBS),--jobs $(JOBS)) $(if $(SMP),--smp $(SMP))

check-vm: deps helper servers
	selftests/vm/run.sh $(if $(JOBS),--jobs $(JOBS)) $(if $(SMP),--smp $(SMP)) --tests "$(TESTS)" $(KERNEL)

# the kernel is built here, once: that takes long
check-debug: deps helper servers
	selftests/vm/debug-check.sh "$(TESTS)"

fuzz: deps
	selftests/fuzz/run.sh --time $(TIME)

soak: deps helper servers
	scripts/soak $(KERNEL) $(TESTS)

check-kernels: deps helper servers
	$(MAKE) -C selftests programs
	scripts/check-kernels $(KERNELS)

check-dkms: deps
	selftests/tests/dkms.sh $(KERNEL)

# Debian packages, in $(O)/deb.
deb:
	scripts/install-deps deb
	packaging/make-deb

# RPM packages, in $(O)/rpm; needs rpmbuild.
rpm:
	packaging/make-rpm

# Documentation in $(O)/html.
docs:
	scripts/install-deps docs
	scripts/check-messages
	scripts/check-commands
	sphinx-build -q -W --keep-going -b html -d $(O)/doctrees Documentation $(O)/html

check-packages: deps
	scripts/install-deps deb
	selftests/tests/packages.sh 6.12
	selftests/tests/packages.sh --no-boot 7.2

bench:
	scripts/bench $(BENCH)

selfcheck: deps helper servers
	$(MAKE) -C selftests programs
	selftests/vm/selfcheck.sh $(KERNEL)

demo: deps
	@selftests/vm/run-demo.sh

shell: deps helper servers
	selftests/vm/run.sh --shell $(KERNEL)

lint:
	scripts/install-deps lint
	scripts/lint

clean:
	rm -rf $(O)
	rm -f *.o *.ko *.mod *.mod.c Module.symvers modules.order .*.cmd
	find kmod -name '*.o' -o -name '.*.cmd' -o -name '*.mod' | xargs -r rm -f

help:
	@echo 'all (default)  the module for the running kernel, the helper, the bundled servers'
	@echo 'install        vfiouserctl, manual, uapi header; the module if it was built (DESTDIR,'
	@echo '               prefix=$(prefix), KDIR)'
	@echo 'uninstall      removes them'
	@echo 'dkms-install   the module source in /usr/src, for "dkms install $(MODULE)/$(VERSION)"'
	@echo 'dkms-uninstall removes it'
	@echo 'module, helper, servers    one of these'
	@echo 'demo           a vfio-user NVMe disk in a VM, from nothing'
	@echo 'check          all tests: unit, command line, DKMS, and VMs of Linux 6.1, 6.12, 7.2'
	@echo '               QUICK=1 for some of them on one kernel, in a few minutes; JOBS=N VMs at a time;'
	@echo '               SMP=N CPUs in the VMs, whatever the tests want'
	@echo 'check-vm       VM tests only: KERNEL=6.1|6.12|7.2 TESTS="test_load_01 ..." JOBS=N SMP=N'
	@echo 'soak           tests that take minutes each, with figures: KERNEL=6.1|6.12|7.2 TESTS="recover ..."'
	@echo 'check-kernels  builds for the kernels between and beside those of "check", and tries it there:'
	@echo '               KERNELS="6.18 6.1-cloud nosmp ..."'
	@echo 'check-dkms     DKMS tests only: KERNEL=6.1|6.12|7.2'
	@echo 'check-debug    VM tests on kernels built for finding bugs (KASAN, lockdep, ...; KCSAN): TESTS'
	@echo 'fuzz           fuzzing, TIME=60 seconds each target'
	@echo 'deb            Debian packages, in $(O)/deb'
	@echo 'rpm            RPM packages, in $(O)/rpm'
	@echo 'docs           the documentation, in $(O)/html'
	@echo 'check-packages they are installed and used in clean roots, and by systemd in a VM'
	@echo 'bench          measures speed beside floors and competitors, in a VM: BENCH="--reps 3" for'
	@echo '               options, see scripts/bench; results in $(O)/bench'
	@echo 'shell          a VM with everything in it, on this terminal'
	@echo 'unit           unit tests, natively'
	@echo 'selfcheck      tests of the test runner'
	@echo 'deps           installs the packages that building and testing need'
	@echo 'lint           checkpatch, sparse, W=1, kernel-doc, cppcheck, shellcheck'
	@echo 'clean          remove $(O)'

.PHONY: all module helper servers unit install uninstall dkms-install dkms-uninstall deps check \
	deb rpm docs man check-packages check-vm check-debug fuzz check-kernels check-dkms soak \
	selfcheck demo shell bench lint clean help
