# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for isthmus(8). Words come from --help, so there is no second list to keep.

_isthmus_words() { # what the help text of "$@" offers: the first word of each indented line
	isthmus "$@" --help 2>/dev/null | sed -n 's/^  \([a-z-][a-z0-9-]*\).*/\1/p'
}

_isthmus_values() { # OPTION TYPED: words that may follow it
	local root=/sys/fs/bpf/isthmus entry
	case $1 in
	--dev | --uplink | --lan) ls /sys/class/net ;;
	--role) echo gateway bridge host ;;
	--cgroup) compgen -d -- "$2" ;;
	--mode) echo auto xdp xdp-generic tc ;;
	--instance)
		for entry in "$root"/*/*/; do
			entry=${entry#"$root"/}
			[[ $entry == \** ]] || echo "${entry%%/*}"
		done
		;;
	--address) ip -o addr show 2>/dev/null | sed -n 's|.* inet6\? \([^ /]*\).*|\1|p' ;;
	*) return 1 ;;
	esac
}

_isthmus() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words
	if [ "$COMP_CWORD" = 1 ]; then
		words=$(_isthmus_words)
	elif [[ $previous == --* ]] && words=$(_isthmus_values "$previous" "$current"); then
		:
	elif [ "$COMP_CWORD" = 2 ]; then
		words=$(_isthmus_words "${COMP_WORDS[1]}")
	else
		words="$(_isthmus_words "${COMP_WORDS[1]}" "${COMP_WORDS[2]}") --help"
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _isthmus isthmus
