# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for isthmus(8). Words come from --help, so there is no second list to keep.

_isthmus_words() { # what the help text of "$@" offers: the first word of each indented line
	isthmus "$@" --help 2>/dev/null | sed -n 's/^  \([a-z-][a-z0-9-]*\).*/\1/p'
}

_isthmus_verbs() { # the words that may follow the verb "$2" of "$1": the small ones of its usage
	isthmus "$1" "$2" --help 2>/dev/null | sed -n "1s/^usage: isthmus $1 $2 \(.*\) \[options\]$/\1/p" | tr '|' '\n' |
		grep -o '^[a-z][a-z]*'
}

_isthmus_values() { # OPTION TYPED NOUN: words that may follow it
	local root=/sys/fs/bpf/isthmus entry
	case $1 in
	--dev | --uplink | --lan) ls /sys/class/net ;;
	--role) echo gateway bridge host ;;
	--cgroup) compgen -d -- "$2" ;;
	--mode) [ "$3" = onetime ] && echo l0 l1 l2 aware || echo auto xdp xdp-generic tc ;;
	--user) compgen -u -- "$2" ;;
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
	elif [[ $previous == --* ]] && words=$(_isthmus_values "$previous" "$current" "${COMP_WORDS[1]}"); then
		:
	elif [ "$COMP_CWORD" = 2 ]; then
		words=$(_isthmus_words "${COMP_WORDS[1]}")
	elif [ "$COMP_CWORD" = 3 ] && [[ $current != -* ]] && words=$(_isthmus_verbs "${COMP_WORDS[1]}" "${COMP_WORDS[2]}"); then
		:
	else
		words="$(_isthmus_words "${COMP_WORDS[1]}" "${COMP_WORDS[2]}") --help"
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _isthmus isthmus
