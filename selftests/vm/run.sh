#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs test scripts in virtual machines and judges what they say.
#
# A test is an executable that prints KTAP (../lib/ktap.sh).  It may say in comments at its top:
#
#   # TIMEOUT: 600       seconds, instead of those of ../settings
#   # SMP: 4             CPUs, instead of 2; "SMP: 2 4" runs it on each
#   # DISK: 128M         wants a disk of this size: /dev/vda
#   # SHARE: yes         wants /share, a directory that the host sees
#   # DEVICE: intel-iommu one more device of QEMU's
#   # APPEND: words      for the kernel's command line
#   # PARALLEL: yes      wants CPUs that run at the same time, see below
#   # VM: own            leaves the kernel in a state from which there is no way back
#
# and TEST.host beside TEST.sh is run on the host after the test has ended, with the directory of the
# results as its argument (disk.img and share/ are in there); its KTAP counts as well.
#
# Tests that want the same VM share one, one after the other; process 1 (init) makes sure that each
# finds what it would find after booting: no module of those that tests load, no process, no mount, no
# file of another's, an empty kernel log.  What a test leaves behind is a failure of that test, and the
# rest goes on in a new VM; so it does where a test crashes its VM or hangs.  A test that says
# "VM: own" or ends its VM (vm.end= in APPEND) has it for itself.
#
# With several VMs at a time (--jobs) the CPUs of each take turns on one of the host's. A CPU that waits
# for another one gives way to it; where each had a thread of its own, as many VMs as there are CPUs
# would have twice the threads, and what one CPU waits for in a loop would wait for the host to run the
# other: three times the time for the same tests. Then those run for which it matters that CPUs run at
# the same time (PARALLEL: yes), one after the other with nothing beside them. With one VM at a time, as
# a developer runs a test, CPUs always run at the same time.
#
# Beside each result of the test, these are failures: no plan or one that is not kept, an exit
# status that is not kselftest's pass or skip, a VM that crashes or that the watchdog has to kill,
# and a warning in the kernel's log from the test's begin to its clean end ("dmesg clean") which it
# did not announce.  A kernel that dies before it takes a test is booted again, and counted.
#
# Everything is kept in $O/vm/SERIES/TEST/: console.log, ktap.log, and the verdict in result (numbers
# passed, failed, skipped; seconds; seconds of QEMU's CPU time).  What each VM had to say as a whole is
# in $O/vm/SERIES/vm.N/, and $O/vm/SERIES/boots has a line for each.  Of a test on another number of
# CPUs than its first one the name ends in -smpN.
# The last line of the output is "N passed, N failed"; the exit status is 1 where anything failed.

set -euo pipefail

vm=$(dirname "$(realpath "$0")")
selftests=$(dirname "$vm")
: "${O:=$(dirname "$selftests")/build}"
mkdir -p "$O"
O=$(realpath "$O")
export O

usage()
{
	cat <<END
usage: run.sh [OPTION...] SERIES [TEST...]

Runs tests on Debian's newest kernel of SERIES (6.1, 6.12, 7.2), or on one built for finding bugs
(6.12-debug, 6.12-kcsan); all of them where none is named.
A TEST is a name in selftests/tests (test_load_01) or a path below selftests.

  --tests LIST     the same as naming them after SERIES
  --jobs N         VMs at a time (1)
  --smp N          CPUs of a VM, whatever the tests want (2)
  --alone          a VM for each test
  --mem SIZE       memory of a VM (1G)
  --disk IMG       a raw image, as /dev/vda
  --timeout SEC    a test that takes longer has failed, whatever it says
  --scale N        all times of the tests are N times as long (1; 6 for 6.12-debug, 6.12-kcsan)
  --append WORDS   add to the kernel's command line; "kaslr" takes "nokaslr norandmaps" away
  --cpu FEATURES   of the emulated CPU, behind those that it has, as la57=on
  --icount         count instructions for time: slow, and the same whatever else the machine does
  --extra DIR      with the programs, modules and scripts of DIR, see initramfs.sh
  --no-build       use the module and the initramfs as they are
  --build-only     make these two, and no more
  --stream         show what the test prints, not only the verdict
  --raw            with --stream: nothing else, and no judgement but the exit status
  --shell          no test, but a shell on the VM's console
END
	exit 2
}

die()
{
	echo "run.sh: $*" >&2
	exit 1
}

jobs=1 smp='' alone='' mem='' disk='' limit='' scale='' append='' extra='' icount='' build=1 stream='' raw=''
shell='' device='' tests=() turns='' features=''
while [ $# -gt 0 ]; do
	case $1 in
	--tests) read -ra tests <<<"$2"; shift ;;
	--jobs) jobs=$2; shift ;;
	--smp) smp=$2; shift ;;
	--alone) alone=1 ;;
	--mem) mem=$2; shift ;;
	--disk) disk=$(realpath "$2"); shift ;;
	--timeout) limit=$2; shift ;;
	--scale) scale=$2; shift ;;
	--append) append=$2; shift ;;
	--cpu) features=,$2; shift ;;
	--icount) icount=1 ;;
	--extra) extra=$(realpath "$2"); shift ;;
	--no-build) build= ;;
	--build-only) build=only ;;
	--stream) stream=1 ;;
	--raw) stream=1 raw=1 ;;
	--shell) shell=1 ;;
	-*) usage ;;
	*) break ;;
	esac
	shift
done
[ $# -ge 1 ] || usage
series=$1
shift
tests+=("$@")
out=$O/vm/$series
mkdir -p "$out"
clock=$(getconf CLK_TCK)
# each of these needs a multiple of everything
case $series in
*-debug|*-kcsan) : "${scale:=6}" "${mem:=3G}" ;;
*) : "${scale:=1}" "${mem:=1G}" ;;
esac

# What in the kernel's log is a failure.
trouble='WARNING|BUG|Oops|lockdep|hung task|blocked for more than|general protection|unable to handle'
trouble+='|KASAN|KCSAN|KFENCE|UBSAN|kmemleak|memory leak|Call Trace|Kernel panic|soft lockup|hard LOCKUP'
trouble+='|rcu.*(stall|detected)|possible (recursive|circular|irq)|suspicious RCU|use-after-free'
trouble+='|refcount_t|list_(add|del) corruption|[Bb]ad page|scheduling while atomic|sleeping function'
trouble+='|nobody cared|DMA-API|Out of memory|page allocation failure|non-responsive CSD lock'
# What debug kernels say of themselves when they start.
quiet='kmemleak: (Kernel memory leak detector initialized|Automatic memory scanning)'
quiet+='|RCU (lockdep checking|callback .* debug) is enabled|DMA-API: (preallocated|debugging enabled)'
quiet+='|kcsan: non-strict mode configured'

# Reports of the kernel's own, of which each line that any such report has is passed over, and whatever else is
# said meanwhile counts: nvme shifts by what it reads of the controller memory buffer's size, of a device that has
# just gone (all-ones); a kprobe that cannot be, since a function has been hooked, is a warning of 6.18.15; and a data
# race between two functions of the kernel, unless they do something for whoever calls them, and we do.
# shellcheck disable=SC2016
kernels_own='/-\[ cut here \]-/ { flush(); held = "cut here" }
	/====================/ && !held { held = "sanitizer"; line[n = 1] = $0; next }
	held {
		line[++n] = $0
		known = known || /UBSAN: shift-out-of-bounds in .*\/drivers\/nvme\/host\/pci\.c:/ ||
			/WARNING: .* at kernel\/kprobes\.c:[0-9]+ arm_kprobe\+/ ||
			held == "sanitizer" && n == 2 && /BUG: KCSAN: data-race in /
		if (held == "sanitizer" && n == 2)
			serves = / (_?_?(mem|str|list|llist|hlist|rb_|xa_|xas_|find_|bitmap|copy)|_copy|kfree|kmem|kref|refcount)/
		ours = ours || held == "sanitizer" && (n == 2 || serves) && /\[(vfiouser_pci|vfu_[a-z]*)\]/
		if (held == "sanitizer" ? /====================/ : /-\[ end trace /)
			flush()
		next
	}
	{ print }
	END { flush() }
	function flush(    i) {
		for (i = 1; i <= n; i++)
			if (!known || ours || line[i] !~ /UBSAN: shift-out-of-bounds|WARNING: .* arm_kprobe\+|Call Trace:|KCSAN/)
				print line[i]
		n = held = known = ours = 0
	}'

# KVM where it really works: /dev/kvm may be there and yet not run a guest.
accel()
{
	# After a cmpxchg16b QEMU 7.2 gives an interrupt that follows another one at once a wrong
	# EFLAGS to save, with TF or DF as it may be. Only the driver of AMD's IOMMU needs it.
	# Where there is erms the kernel clears and copies pages by the byte, and QEMU does each byte by itself.
	local tcg=max,la57=off,erms=off,cx16=off

	[ "$device" != amd-iommu ] || tcg=max,la57=off,erms=off
	tcg+=$features
	if [ -n "$icount" ]; then
		# 1 ns is one instruction, of all CPUs together, which take turns; copying
		# goes by words, each of which counts, as on machines a word takes its time
		echo "-accel tcg,thread=single -icount shift=0,sleep=off -cpu $tcg"
	elif grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
		echo "-accel kvm -accel tcg,thread=multi -cpu max$features"
	else
		# five-level page tables only cost time where the MMU is a program
		echo "-accel tcg,thread=$([ -n "$turns" ] && echo single || echo multi) -cpu $tcg"
	fi
}

# header NAME TEST DEFAULT: what a test says of itself at its top
header()
{
	local value

	value=$(sed -n "1,/^[^#]/s/^# $1: *//p" "$2" | head -n 1)
	echo "${value:-$3}"
}

# path_of TEST: of a test named on the command line
path_of()
{
	local path

	for path in "$selftests/tests/$1" "$selftests/tests/$1.sh" "$selftests/$1" "$selftests/$1.sh" "$1"; do
		if [ -f "$path" ] && [ -x "$path" ]; then
			realpath "$path"
			return 0
		fi
	done
	die "no test $1 in selftests/tests"
}

# qemu_command WORDS [ARG...]: sets qemu, the command of a VM with WORDS on the kernel's command line
qemu_command()
{
	local words=$1 kernel image

	shift
	# What QEMU has translated is found by its address: where each process has its libraries elsewhere,
	# each process's are translated anew, which is most of what a short one costs.
	case " $words " in
	*' kaslr '*) ;;
	*) words="nokaslr norandmaps $words" ;;
	esac
	kernel=$("$vm/kernels.sh" fetch "$series")
	image=$kernel/vmlinux
	[ -e "$image" ] || image=$kernel/vmlinuz
	# tsc: where two emulated clocks drift apart the kernel changes to the other one by stop_machine(), and no
	# CPU serves whoever reads a register just then.
	# shellcheck disable=SC2046,SC2207
	qemu=(qemu-system-x86_64 -machine q35 $(accel) -m "$mem" -nodefaults -display none -no-reboot
	      -kernel "$image" -initrd "$out/initrd${extra:+-$(basename "$extra")}"
	      -append "console=ttyS0 loglevel=7 panic=-1 oops=panic mitigations=off \
tsc=nowatchdog random.trust_cpu=on rdinit=/init $words" "$@")
}

# fault TEXT: one more failure
fault()
{
	failed=$((failed + 1))
	notes+="not ok $1"$'\n'
}

# count FILE: add the results in a KTAP document to passed, failed, skipped and notes
count()
{
	local counts p f s

	counts=$(awk -f "$selftests/lib/count.awk" "$1")
	read -r p f s <<<"${counts%%$'\n'*}"
	passed=$((passed + p))
	failed=$((failed + f))
	skipped=$((skipped + s))
	notes+=$(tail -n +2 <<<"$counts")$'\n'
}

# trouble_lines DIR: the first of $warnings; of a kernel that died all it had to say, since that may
# be all that anybody ever sees of this machine
trouble_lines()
{
	if grep -aq 'Kernel panic' <<<"$warnings"; then
		grep -aF -m 1 -A 60 "${warnings%%$'\n'*}" "$1/console.log"
	else
		head -n 5 <<<"$warnings"
	fi
}

# verdict DIR NAME STATUS SECONDS CPU: judge a test that has ended, or its VM; prints the lines to show,
# writes DIR/result.  STATUS is ok, died, late (for the watchdog).
verdict()
{
	local dir=$1 name=$2 status=$3 seconds=$4 cpu=$5 passed=0 failed=0 skipped=0 notes='' warnings
	local code allow left

	sed '0,/^vm: start/d; /^vm: /d' "$dir/ktap.log" >"$dir/ktap"
	count "$dir/ktap"
	[ ! -e "$dir/host.log" ] || count "$dir/host.log"

	code=$(sed -n 's/^vm: exit //p' "$dir/ktap.log")
	case $status in
	late) fault "the watchdog ended the VM after $seconds s" ;;
	*)
		if [ -z "$code" ]; then
			fault "the VM ended before the test did"
		elif [ "$code" != 0 ] && [ "$code" != 4 ] && [ "$failed" = 0 ]; then
			fault "exit status $code"
		elif [ "$status" = died ]; then
			fault "the VM ended when the test had"
		fi
		;;
	esac
	while read -r left; do
		fault "left behind: $left"
	done < <(sed -n 's/^vm: left //p' "$dir/ktap.log")

	allow=$(sed -n 's/^# dmesg-allow: //p' "$dir/ktap" | paste -sd'|')
	warnings=$(grep -aE '\[ *[0-9]+\.[0-9]{6}\]' "$dir/console.log" | awk "$kernels_own" | grep -aE "$trouble" |
		   grep -avE "$quiet${allow:+|$allow}" || true)
	if [ -n "$warnings" ]; then
		fault "dmesg clean"
		notes+=$(trouble_lines "$dir" | sed 's/\r$//; s/^/  /')$'\n'
	elif ! grep -aqE '\[ *[0-9]+\.[0-9]{6}\]' "$dir/console.log"; then
		fault "dmesg clean: there is no kernel log"
	else
		passed=$((passed + 1))
	fi

	echo "$passed $failed $skipped $seconds $cpu" >"$dir/result"
	printf '%-5s %-28s %3d passed %3d failed %3d skipped %5d s\n' \
		"$series" "$name" "$passed" "$failed" "$skipped" "$seconds"
	sed -n '/./s/^/      /p' <<<"$notes"
	[ "$failed" = 0 ] || echo "      see $dir/console.log"
}

# ---- a virtual machine: vm_dir, vm_pid, vm_class, vm_from and vm_to, which a worker has ----

vm_dir='' vm_pid='' vm_class='' vm_from='' vm_to='' vm_console=0

# cpu_seconds: of the VM so far
cpu_seconds()
{
	local stat

	stat=$(cat "/proc/$vm_pid/stat" 2>/dev/null) || { echo 0; return; }
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	echo $(((${12} + ${13}) / clock))
}

# vm_line SECONDS: the next line of the VM's in LINE; 1 where the VM has ended, 2 where it is late
vm_line()
{
	[ "$1" -gt 0 ] || return 2
	IFS= read -r -t "$1" LINE <&"$vm_from" && return 0
	# a timeout is more than 128
	[ $? -gt 128 ] && return 2
	[ -n "$LINE" ]
}

# vm_kill: at once
vm_kill()
{
	[ -n "$vm_pid" ] || return 0
	kill -KILL "$vm_pid" 2>/dev/null || true
	wait "$vm_pid" 2>/dev/null || true
	exec {vm_from}<&- {vm_to}>&-
	vm_pid='' vm_class=''
}

# vm_stop: in the orderly way
vm_stop()
{
	local end=$((SECONDS + 60 * scale))

	[ -n "$vm_pid" ] || return 0
	{ echo end >&"$vm_to"; } 2>/dev/null || true
	while [ $SECONDS -lt $end ]; do
		vm_line $((60 * scale)) || break
	done
	vm_kill
}

# vm_begin CLASS SMP DISK DEVICE APPEND: start QEMU for tests that want that
vm_begin()
{
	local number args=()

	number=1
	while ! mkdir "$out/vm.$number" 2>/dev/null; do
		number=$((number + 1))
	done
	vm_dir=$out/vm.$number
	mkdir "$vm_dir/share"
	device=$4
	args=(-smp "$2")
	if [ -n "$3$disk" ]; then
		[ -n "$disk" ] || truncate -s "$3" "$vm_dir/disk.img"
		args+=(-drive "file=${disk:-$vm_dir/disk.img},format=raw,if=virtio,cache=unsafe")
	fi
	[ -z "$4" ] || args+=(-device "$4")
	qemu_command "${3:+vm.disk}${disk:+ vm.disk} $5 $append$([ "$scale" = 1 ] || echo " vm.scale=$scale")" \
		"${args[@]}" \
		-virtfs "local,path=$vm_dir/share,mount_tag=share,security_model=none" \
		-serial "file:$vm_dir/console.log" -chardev stdio,id=ktap,signal=off -serial chardev:ktap
	: >"$vm_dir/console.log"
	# it ends with this shell, however that ends
	coproc VM { exec setpriv --pdeathsig KILL "${qemu[@]}" 2>"$vm_dir/qemu.log"; }
	# shellcheck disable=SC2153	# as coproc names it
	vm_pid=$VM_PID
	exec {vm_from}<&"${VM[0]}" {vm_to}>&"${VM[1]}"
	vm_class=$1
}

# vm_ready END: wait until the VM takes a test; "ready" in how, or why it never will.  A kernel has a line to say
# each second or two while it boots; one that says nothing is dead, and takes a CPU of ours for that.
vm_ready()
{
	local size='' now status

	while [ $SECONDS -lt "$1" ]; do
		status=0
		vm_line $((45 * scale)) || status=$?
		case $status in
		0)
			[ "$LINE" = "vm: ready" ] || continue
			how=ready
			# Where the host has something else to do while a kernel measures its clock by the one timer, and
			# not by the other, its seconds are as short as a tenth of ours, and nobody answers it in time.
			! grep -aq 'tsc: PIT calibration deviates from HPET' "$vm_dir/console.log" ||
				how="measured its clock wrongly"
			return 0
			;;
		1)
			how="died before it took a test"
			return 0
			;;
		*)
			now=$(stat -c %s "$vm_dir/console.log")
			how="said nothing for $((45 * scale)) s before it took a test"
			[ "$now" != "$size" ] || return 0
			size=$now
			;;
		esac
	done
	how="did not come up in $((300 * scale)) s"
}

# vm_boot CLASS...: as vm_begin, until it takes a test; false where it never does
vm_boot()
{
	local try start end how

	for try in 1 2 3 4; do
		start=$SECONDS end=$((SECONDS + 300 * scale))
		vm_begin "$@"
		vm_ready $end
		if [ "$how" = ready ]; then
			echo "ready $((SECONDS - start)) $(cpu_seconds) ${vm_dir##*/} $1" >>"$out/boots"
			vm_console=0
			return 0
		fi
		# Linux 7.2 on 4 CPUs now and then dies when it patches itself, before anything of ours is there: QEMU
		# 7.2 translates an instruction that another CPU writes just then, and keeps what it was ("int3").
		echo "died $((SECONDS - start)) $(cpu_seconds) ${vm_dir##*/} $1" >>"$out/boots"
		echo "run.sh: $series: a kernel $how: see $vm_dir/console.log" >&2
		[ ! -s "$vm_dir/qemu.log" ] || tail -n 3 "$vm_dir/qemu.log" >&2
		vm_kill
		[ $SECONDS -lt $end ] || [ $try = 1 ] || break
	done
	return 1
}

# ---- tests ----

# slice DIR: DIR/console.log is what the kernel had to say since the last test; of the VM's first one,
# since the test began: what a kernel complains of when booting slowly is not about us
slice()
{
	local size

	size=$(stat -c %s "$vm_dir/console.log")
	tail -c +$((vm_console + 1)) "$vm_dir/console.log" | head -c $((size - vm_console)) >"$1/console.log"
	[ "$vm_console" != 0 ] || sed -i -n '/vm: test begins/,$p' "$1/console.log"
	vm_console=$size
}

# run_one NAME TEST OWN: in this VM; prints the verdict
run_one()
{
	local name=$1 test=$2 own=$3 dir=$out/$1 seclimit start end cpu words status=ok host try

	mkdir -p "$dir"
	seclimit=${limit:-$(header TIMEOUT "$test" "$(sed -n 's/^timeout=//p' "$selftests/settings")")}
	seclimit=$((seclimit * scale))
	words="run /selftests/${test#"$selftests/"}"
	[ "$(header SHARE "$test" no)" != yes ] || words+=" share"
	[ -z "$own" ] || words+=" own"
	start=$SECONDS end=$((SECONDS + seclimit)) cpu=$(cpu_seconds)
	: >"$dir/ktap.log"
	{ echo "$words" >&"$vm_to"; } 2>/dev/null || true
	while :; do
		vm_line $((end > SECONDS ? end - SECONDS : 0)) || {
			[ $? = 1 ] && status=died || status=late
			break
		}
		printf '%s\n' "$LINE" >>"$dir/ktap.log"
		case $LINE in
		"vm: next") break ;;
		"vm: exit "*) cpu=$(($(cpu_seconds) - cpu)) ;;
		"vm: "*) ;;
		*) [ -z "$stream" ] || printf '%s\n' "$LINE" ;;
		esac
	done
	case $status in
	ok)
		# the two ports are not one: the log up to here has arrived when this has
		for ((try = 0; try < 100; try++)); do
			! tail -c 4096 "$vm_dir/console.log" | grep -aq 'vm: test ended' || break
			sleep 0.1
		done
		;;
	died)
		# a VM that ends itself
		[ -z "$own" ] || ! grep -q '^vm: exit' "$dir/ktap.log" || status=ok
		;;
	esac
	if [ $status != ok ] || [ -n "$own" ] || grep -q '^vm: left' "$dir/ktap.log"; then
		vm_kill
	fi
	slice "$dir"
	if [ "$(header SHARE "$test" no)" = yes ]; then
		mkdir -p "$dir/share"
		find "$vm_dir/share" -mindepth 1 -maxdepth 1 -exec mv -t "$dir/share" {} +
	fi
	if [ -n "$(header DISK "$test" '')" ] && [ -z "$disk" ]; then
		ln -f "$vm_dir/disk.img" "$dir/disk.img"
	fi
	if [ -n "$raw" ]; then
		[ "$(sed -n 's/^vm: exit //p' "$dir/ktap.log")" = 0 ]
		return
	fi
	host=${test%.sh}.host
	if [ -x "$host" ]; then
		"$host" "$dir" >"$dir/host.log" 2>&1 </dev/null || true
	fi
	verdict "$dir" "$name" "$status" $((SECONDS - start)) "$cpu"
}

# list_jobs TEST...: a line for each run: seconds it may take, kind of VM, name, test, CPUs, "own",
# "yes" where the CPUs are to run at the same time
list_jobs()
{
	local test name cpus words class own seconds first

	for test in "$@"; do
		words=$(header APPEND "$test" '')
		own=$alone
		case "$(header VM "$test" '') $words" in
		*own*|*vm.end=*) own=1 ;;
		esac
		first=
		for cpus in ${smp:-$(header SMP "$test" 2)}; do
			name=$(basename "${test%.sh}")${first:+-smp$cpus}
			first=1
			class="$cpus $(header DEVICE "$test" -) $words${own:+ $name}"
			# a disk is as empty as the test may expect
			[ -z "$(header DISK "$test" '')" ] || class+=" $name"
			# as long as last time; without that the time that it is given says something too
			seconds=
			[ ! -e "$out/$name/result" ] || read -r _ _ _ seconds _ <"$out/$name/result"
			printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\n' \
				"${seconds:-$(($(header TIMEOUT "$test" 200) / 10))}" \
				"$class" "$name" "$test" "$cpus" "${own:-}" "$(header PARALLEL "$test" '')"
		done
	done
}

# queue_jobs: list_jobs' lines become the jobs to take.
# What is alone in its VM comes first, what many share last, the longest first: so all end together.
queue_jobs()
{
	local list

	list=$(cat)
	awk -F'\t' 'NR == FNR { n[$2]++; next } NF { print n[$2] "\t" $0 }' <(echo "$list") <(echo "$list") |
		sort -t$'\t' -k1,1n -k2,2nr | cut -f2- >"$out/jobs"
}

# take CLASS: the next job, of that kind of VM if there is one, is removed from the list and printed
take()
(
	flock 9
	line=$(awk -F'\t' -v class="$1" 'class != "" && $2 == class { print; exit }' "$out/jobs")
	[ -n "$line" ] || line=$(head -n 1 "$out/jobs")
	[ -n "$line" ] || exit 1
	grep -vxF -- "$line" "$out/jobs" >"$out/jobs.new" || true
	mv "$out/jobs.new" "$out/jobs"
	printf '%s\n' "$line"
) 9>>"$out/jobs.lock"

# worker: tests, one after the other, as long as there are any
worker()
{
	local job class name test cpus own

	trap 'vm_kill; exit 1' TERM INT
	# a VM that is no more takes no orders
	trap : PIPE
	while job=$(take "$vm_class"); do
		# no tab: one that is empty would be none
		IFS=$'\x1f' read -r _ class name test cpus own _ <<<"${job//$'\t'/$'\x1f'}"
		if [ "$class" != "$vm_class" ]; then
			vm_stop
			vm_boot "$class" "$cpus" "$(header DISK "$test" '')" "$(header DEVICE "$test" '')" \
				"$(header APPEND "$test" '')" || {
				mkdir -p "$out/$name"
				echo "0 1 0 0 0" >"$out/$name/result"
				raw_status=1
				printf '%-5s %-28s   not run: no VM came up for it\n' "$series" "$name"
				continue
			}
		fi
		if [ -n "$stream" ]; then
			run_one "$name" "$test" "$own" || raw_status=$?
		else
			run_one "$name" "$test" "$own" >"$out/$name.text" 2>&1 || true
			# a verdict is printed in one piece
			cat "$out/$name.text"
			rm -f "$out/$name.text"
		fi
	done
	vm_stop
}

main()
{
	local args path paths test list names name workers passed failed result p f i

	if [ -n "$build" ]; then
		make -s -C "$selftests" programs >"$out/build.log" 2>&1 || {
			tail -n 30 "$out/build.log" >&2
			die "the tests' programs do not build: see $out/build.log"
		}
		"$vm/kernels.sh" build "$series" "$(dirname "$selftests")" "$out/build" >"$out/build.log" 2>&1 || {
			tail -n 30 "$out/build.log" >&2
			die "the module does not build for $series: see $out/build.log"
		}
		"$vm/initramfs.sh" "$series" "$out" ${extra:+"$extra"}
		[ "$build" != only ] || exit 0
	fi

	if [ -n "$shell" ]; then
		args=()
		[ -z "$disk" ] || args=(-drive "file=$disk,format=raw,if=virtio")
		qemu_command "vm.shell quiet ${disk:+vm.disk} $append" -smp "${smp:-2}" "${args[@]}" \
			-serial mon:stdio -serial null
		exec "${qemu[@]}"
	fi

	paths=()
	if [ ${#tests[@]} = 0 ]; then
		for test in "$selftests"/tests/test_*.sh; do
			[ ! -x "$test" ] || paths+=("$test")
		done
	else
		for test in "${tests[@]}"; do
			path=$(path_of "$test")
			paths+=("$path")
		done
	fi
	[ ${#paths[@]} -gt 0 ] || die "there are no tests in selftests/tests"

	# two at a time in one directory would be one too many
	exec 8>>"$out/lock"
	flock -n 8 || {
		echo "run.sh: waiting for another one that is at work in $out" >&2
		flock 8
	}
	list=$(list_jobs "${paths[@]}")
	rm -rf "$out"/vm.[0-9]*
	: >"$out/boots"
	mapfile -t names < <(cut -f3 <<<"$list")
	rm -rf "${names[@]/#/$out/}"

	raw_status=0
	if [ "$jobs" = 1 ]; then
		queue_jobs <<<"$list"
		worker 8>&-
		[ -z "$raw" ] || exit "$raw_status"
	else
		workers=()
		trap 'kill "${workers[@]}" 2>/dev/null; exit 1' INT TERM
		turns=1
		awk -F'\t' '$7 == ""' <<<"$list" | queue_jobs
		for ((i = 0; i < jobs; i++)); do
			worker 8>&- &
			workers+=($!)
		done
		wait
		turns=
		awk -F'\t' '$7 != ""' <<<"$list" | queue_jobs
		worker 8>&- &
		workers=($!)
		wait
	fi

	passed=0 failed=0
	for name in "${names[@]}"; do
		result=$out/$name/result
		if [ -e "$result" ]; then
			read -r p f _ <"$result"
			passed=$((passed + p))
			failed=$((failed + f))
		else
			echo "$series $name: not run"
			failed=$((failed + 1))
		fi
	done
	awk -v series="$series" '{ n++; s += $2; died += $1 == "died" }
		END { printf "%s: %d VMs, %d s for booting, %d kernels died before a test and were booted again\n",
			series, n, s, died }' "$out/boots"
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
}

# read to its end before anything runs, so that it may be edited while it runs
main
exit
