#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs test scripts, each in a virtual machine of its own, and judges what they say.
#
# A test is an executable that prints KTAP (../lib/ktap.sh).  It may say in comments at its top:
#
#   # TIMEOUT: 600       seconds, instead of those of ../settings
#   # SMP: 4             CPUs, instead of 2
#   # DISK: 128M         wants a disk of this size: /dev/vda
#   # SHARE: yes         wants /share, a directory that the host sees
#   # DEVICE: intel-iommu one more device of QEMU's
#   # APPEND: words      for the kernel's command line
#
# and TEST.host beside TEST.sh is run on the host after the VM has ended, with the directory of the
# results as its argument (disk.img and share/ are in there); its KTAP counts as well.
#
# Beside each result of the test, these are failures: no plan or one that is not kept, an exit
# status that is not kselftest's pass or skip, a VM that crashes or that the watchdog has to kill,
# and a warning in the kernel's log since the test began ("dmesg clean") which it did not announce.
# A kernel that dies before the test begins is booted again, once.
#
# Everything is kept in $O/vm/SERIES/TEST/: console.log, ktap.log, and the verdict in result.
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
  --smp N          CPUs of a VM (2)
  --mem SIZE       memory of a VM (1G)
  --disk IMG       a raw image, as /dev/vda
  --timeout SEC    kill a VM after SEC seconds
  --scale N        all times of the tests are N times as long (1; 6 for 6.12-debug, 6.12-kcsan)
  --append WORDS   add to the kernel's command line
  --icount         count instructions for time: slow, and the same whatever else the machine does
  --extra DIR      with the programs, modules and scripts of DIR, see initramfs.sh
  --no-build       use the module and the initramfs as they are
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

jobs=1 smp='' mem='' disk='' limit='' scale='' append='' extra='' icount='' build=1 stream='' raw=''
shell='' device='' tests=()
while [ $# -gt 0 ]; do
	case $1 in
	--tests) read -ra tests <<<"$2"; shift ;;
	--jobs) jobs=$2; shift ;;
	--smp) smp=$2; shift ;;
	--mem) mem=$2; shift ;;
	--disk) disk=$(realpath "$2"); shift ;;
	--timeout) limit=$2; shift ;;
	--scale) scale=$2; shift ;;
	--append) append=$2; shift ;;
	--icount) icount=1 ;;
	--extra) extra=$(realpath "$2"); shift ;;
	--no-build) build= ;;
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
trouble+='|nobody cared|DMA-API|Out of memory|page allocation failure'
# What debug kernels say of themselves when they start.
quiet='kmemleak: (Kernel memory leak detector initialized|Automatic memory scanning)'
quiet+='|RCU (lockdep checking|callback .* debug) is enabled|DMA-API: (preallocated|debugging enabled)'
quiet+='|kcsan: non-strict mode configured'

# KVM where it really works: /dev/kvm may be there and yet not run a guest.
accel()
{
	# After a cmpxchg16b QEMU 7.2 gives an interrupt that follows another one at once a wrong
	# EFLAGS to save, with TF or DF as it may be. Only the driver of AMD's IOMMU needs it.
	local tcg=max,la57=off,cx16=off

	[ "$device" != amd-iommu ] || tcg=max,la57=off
	if [ -n "$icount" ]; then
		# 1 ns is one instruction, of all CPUs together, which take turns; without erms
		# copying goes by words, each of which counts, as on machines a word takes its time
		echo "-accel tcg,thread=single -icount shift=0,sleep=off -cpu $tcg,erms=off"
	elif grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
		echo "-accel kvm -accel tcg,thread=multi -cpu max"
	else
		# five-level page tables only cost time where the MMU is a program
		echo "-accel tcg,thread=multi -cpu $tcg"
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
	kernel=$("$vm/kernels.sh" fetch "$series")
	image=$kernel/vmlinux
	[ -e "$image" ] || image=$kernel/vmlinuz
	# shellcheck disable=SC2046,SC2207
	qemu=(qemu-system-x86_64 -machine q35 $(accel) -m "$mem" -nodefaults -display none -no-reboot
	      -kernel "$image" -initrd "$out/initrd${extra:+-$(basename "$extra")}"
	      -append "console=ttyS0 loglevel=7 panic=-1 oops=panic nokaslr mitigations=off \
random.trust_cpu=on rdinit=/init $words" "$@")
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

# verdict DIR STATUS SECONDS: judge a finished VM; prints the lines to show, writes DIR/result
verdict()
{
	local dir=$1 status=$2 seconds=$3 passed=0 failed=0 skipped=0 notes='' warnings code allow

	sed '0,/^vm: start/d; /^vm: exit/d' "$dir/ktap.log" >"$dir/ktap"
	count "$dir/ktap"
	[ ! -e "$dir/host.log" ] || count "$dir/host.log"

	code=$(sed -n 's/^vm: exit //p' "$dir/ktap.log")
	case $status in
	124|137)
		fault "the watchdog ended the VM after $seconds s"
		;;
	*)
		if [ -z "$code" ]; then
			fault "the VM ended before the test did"
		elif [ "$code" != 0 ] && [ "$code" != 4 ] && [ "$failed" = 0 ]; then
			fault "exit status $code"
		fi
		;;
	esac

	allow=$(sed -n 's/^# dmesg-allow: //p' "$dir/ktap" | paste -sd'|')
	# what a kernel complains of before the test begins, when booting slowly, is not about us
	warnings=$(sed '1,/vm: test begins/d' "$dir/console.log" |
		   grep -aE '\[ *[0-9]+\.[0-9]{6}\]' | grep -aE "$trouble" |
		   grep -avE "$quiet${allow:+|$allow}" || true)
	if [ -n "$warnings" ]; then
		fault "dmesg clean"
		notes+=$(trouble_lines "$dir" | sed 's/\r$//; s/^/  /')$'\n'
	elif ! grep -aqE '\[ *[0-9]+\.[0-9]{6}\]' "$dir/console.log"; then
		fault "dmesg clean: there is no kernel log"
	else
		passed=$((passed + 1))
	fi

	echo "$passed $failed $skipped $seconds" >"$dir/result"
	printf '%-5s %-28s %3d passed %3d failed %3d skipped %5d s\n' \
		"$series" "$(basename "$dir")" "$passed" "$failed" "$skipped" "$seconds"
	sed -n '/./s/^/      /p' <<<"$notes"
	[ "$failed" = 0 ] || echo "      see $dir/console.log"
}

# boot DIR SECONDS: the VM of qemu, to its end
boot()
{
	local status=0

	{
		timeout --kill-after=5 "$2" "${qemu[@]}" </dev/null 2>"$1/qemu.log" || status=$?
		echo "$status" >"$1/status"
	} | if [ -n "$stream" ]; then
		tee "$1/ktap.log" | sed -u '/^vm: /d'
	else
		cat >"$1/ktap.log"
	fi
}

# run_one TEST: in a VM; prints the verdict
run_one()
{
	local test=$1 dir args=() words status start seconds size device seclimit host qemu

	dir=$out/$(basename "${test%.sh}")
	rm -rf "$dir"
	mkdir -p "$dir"
	words="vm.test=/selftests/${test#"$selftests/"} $(header APPEND "$test" '') $append"
	[ "$scale" = 1 ] || words+=" vm.scale=$scale"
	args=(-smp "${smp:-$(header SMP "$test" 2)}")
	size=$(header DISK "$test" '')
	if [ -n "$size" ] && [ -z "$disk" ]; then
		truncate -s "$size" "$dir/disk.img"
	fi
	if [ -n "$size$disk" ]; then
		words+=" vm.disk"
		args+=(-drive "file=${disk:-$dir/disk.img},format=raw,if=virtio,cache=unsafe")
	fi
	device=$(header DEVICE "$test" '')
	[ -z "$device" ] || args+=(-device "$device")
	if [ "$(header SHARE "$test" no)" = yes ]; then
		mkdir "$dir/share"
		words+=" vm.share"
		args+=(-virtfs "local,path=$dir/share,mount_tag=share,security_model=none")
	fi
	seclimit=${limit:-$(header TIMEOUT "$test" "$(sed -n 's/^timeout=//p' "$selftests/settings")")}
	seclimit=$((seclimit * scale))

	qemu_command "$words" "${args[@]}" -serial "file:$dir/console.log" \
		-chardev stdio,id=ktap,signal=off -serial chardev:ktap
	start=$SECONDS
	boot "$dir" "$seclimit"
	# Linux 7.2 now and then dies under TCG when it patches itself, before anything of ours is there.
	if ! grep -q '^vm: start' "$dir/ktap.log" && [ "$(cat "$dir/status")" = 0 ]; then
		echo "run.sh: $series $(basename "$dir"): the kernel died before the test began:" \
			"booted again" >&2
		mv "$dir/console.log" "$dir/console.died.log"
		boot "$dir" "$seclimit"
	fi
	seconds=$((SECONDS - start))
	status=$(cat "$dir/status")

	if [ -n "$raw" ]; then
		[ "$(sed -n 's/^vm: exit //p' "$dir/ktap.log")" = 0 ]
		return
	fi
	host=${test%.sh}.host
	if [ -x "$host" ]; then
		"$host" "$dir" >"$dir/host.log" 2>&1 </dev/null || true
	fi
	verdict "$dir" "$status" "$seconds"
}

main()
{
	local args path paths test text passed failed result p f

	if [ -n "$build" ]; then
		"$vm/kernels.sh" build "$series" "$(dirname "$selftests")" "$out/build" >"$out/build.log" 2>&1 || {
			tail -n 30 "$out/build.log" >&2
			die "the module does not build for $series: see $out/build.log"
		}
		"$vm/initramfs.sh" "$series" "$out" ${extra:+"$extra"}
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

	if [ -n "$raw" ]; then
		run_one "${paths[0]}"
		exit
	fi

	for test in "${paths[@]}"; do
		while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
			wait -n || true
		done
		# a verdict is printed in one piece
		{
			if [ -n "$stream" ]; then
				run_one "$test"
			else
				text=$(run_one "$test" 2>&1) || true
				echo "$text"
			fi
		} &
	done
	wait

	passed=0 failed=0
	for test in "${paths[@]}"; do
		result=$out/$(basename "${test%.sh}")/result
		if [ -e "$result" ]; then
			read -r p f _ <"$result"
			passed=$((passed + p))
			failed=$((failed + f))
		else
			failed=$((failed + 1))
		fi
	done
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
}

# read to its end before anything runs, so that it may be edited while it runs
main
exit
