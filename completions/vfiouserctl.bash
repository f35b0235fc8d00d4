# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Completion of vfiouserctl for bash.
#
# Commands and options are those that the program's own help lists, so that they are never others.
# Devices are completed for who may list them, which is root.

# Options of a command, one a line; those with a value end in "=".
_vfiouserctl_options()
{
	"$1" "$2" --help 2>/dev/null | sed -nE 's/^ +(-[A-Za-z], )?(--[a-z-]+)(\[?=)?.*/\2\3/p' |
		sed 's/\[=$//'
}

# What a device can be called: its name, its address, its server's socket.
_vfiouserctl_devices()
{
	"$1" list --json 2>/dev/null |
		sed -nE 's/^ *"(name|bdf|socket)": *"([^"]+)",?$/\2/p'
}

_vfiouserctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]}

	COMPREPLY=()
	if [ "$COMP_CWORD" -le 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W "--help --version help \
			$("$program" --help 2>/dev/null | sed -nE '/^Commands:/,/^$/s/^  ([a-z]+) .*/\1/p')" -- "$cur")
		return
	fi
	# the value of an option: "--record=FI" comes as three words
	case $prev in
	=)
		prev=${COMP_WORDS[COMP_CWORD - 2]}
		;;
	esac
	if [ "$cur" = = ]; then
		cur=
		prev=${COMP_WORDS[COMP_CWORD - 1]}
	fi
	case $prev in
	--record)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
		return
		;;
	--vhost)
		case $cur in
		*:*)
			mapfile -t COMPREPLY < <(compgen -f -- "${cur#*:}")
			compopt -o filenames 2>/dev/null
			;;
		*)
			mapfile -t COMPREPLY < <(compgen -W "blk: fs: net: scsi: rng: console: sound:" -- "$cur")
			compopt -o nospace 2>/dev/null
			;;
		esac
		return
		;;
	--inject)
		mapfile -t COMPREPLY < <(compgen -W "delay: drop: error: seed:" -- "$cur")
		compopt -o nospace 2>/dev/null
		return
		;;
	esac
	case $cur in
	-*)
		mapfile -t COMPREPLY < <(compgen -W "$(_vfiouserctl_options "$program" "$command")" -- "$cur")
		case ${COMPREPLY[0]} in
		*=) compopt -o nospace 2>/dev/null ;;
		esac
		return
		;;
	esac
	case $command in
	attach|probe|replay)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		compopt -o filenames 2>/dev/null
		;;
	help)
		mapfile -t COMPREPLY < <(compgen -W "$("$program" --help 2>/dev/null |
			sed -nE '/^Commands:/,/^$/s/^  ([a-z]+) .*/\1/p')" -- "$cur")
		;;
	list)
		;;
	*)
		mapfile -t COMPREPLY < <(compgen -W "$(_vfiouserctl_devices "$program")" -- "$cur")
		if [ ${#COMPREPLY[@]} = 0 ]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			compopt -o filenames 2>/dev/null
		fi
		;;
	esac
}

complete -F _vfiouserctl vfiouserctl
