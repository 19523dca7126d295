#!/bin/sh
# Installs an edgequant kit or image on a host that has neither Python nor the internet. See docs/deploy.md.
# POSIX sh; needs what busybox has (tar, gzip, sha256sum, awk, sed), and openssl 3 where a signature is checked.
set -eu
umask 022
LC_ALL=C
export LC_ALL

usage() {
	cat <<'USAGE'
Usage: edgequant-deploy.sh [OPTION]... KIT        install a kit, or an image (.tar of edgequant image), and switch to it
       edgequant-deploy.sh [OPTION]... --rollback switch back to the release before
       edgequant-deploy.sh [OPTION]... --status   tell what is installed
       edgequant-deploy.sh [OPTION]... --uninstall

Trust, one of these for KIT:
  --key PUB           refuse a kit that the owner of this ed25519 public key (PEM) did not sign
  --digest SHA256     refuse any other file than the one with this SHA-256
  --require-signature with --key: the server too refuses bundles that are not signed by it
  --allow-unsigned    ask for neither; damage is still found, an attacker's kit is not

Where and how:
  --host [USER@]HOST  do it there, over ssh
  --ssh COMMAND       how to reach it, words split at blanks (default: ssh)
  --sudo              on the host, become root by sudo -n
  --root DIR          put DIR before every path: a mounted image, a chroot, a test
  --base DIR          the folder of the releases (default: /opt/edgequant)
  --listen ADDR       where the server listens (default: 127.0.0.1)
  --port N            and its port (default: 8080)
  --memory SIZE       the unit's MemoryMax (default: 512M)
  --no-systemd        write no unit; RELEASE/run.sh starts the server in the foreground
  --restart COMMAND   with --no-systemd: what makes your supervisor start the server anew
  --timeout SECONDS   how long /ready may take to answer (default: 30)
  --keep N            releases to keep (default: 3)
  --dry-run           say what would be done, change nothing

Exit status: 0 fine, 1 refused or failed (what ran before still runs), 2 usage.
USAGE
}

say() { printf 'edgequant-deploy: %s\n' "$1" >&2; }

fail() { # STATUS WHAT [MORE]...
	status=$1
	say "error: $2"
	shift 2
	for line; do printf '  %s\n' "$line" >&2; done
	exit "$status"
}

need() { command -v "$1" >/dev/null 2>&1 || fail 1 "$1 is not installed" "$2"; }

quote() { printf "'%s' " "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# ---- what a person said

read_arguments() {
	mode=install kit='' key='' digest='' unsigned='' host='' ssh=ssh sudo='' root='' base=/opt/edgequant
	listen=127.0.0.1 port=8080 memory=512M systemd=yes restart='' timeout=30 keep=3 dry=''
	require=''
	passed='' # what goes to the host, quoted
	while [ $# -gt 0 ]; do
		option=$1
		case $option in
		--key | --digest | --host | --ssh | --root | --base | --listen | --port | --memory | --restart | --timeout | --keep)
			[ $# -ge 2 ] || fail 2 "$option needs a value" 'see --help'
			value=$2
			shift
			;;
		*) value='' ;;
		esac
		shift
		case $option in
		-h | --help) usage && exit 0 ;;
		--key) key=$value ;;
		--host) host=$value ;;
		--ssh) ssh=$value ;;
		--sudo) sudo='sudo -n' ;;
		--digest) digest=${value#sha256:} && pass "$option" "$value" ;;
		--root) root=${value%/} && pass "$option" "$value" ;;
		--base) base=$value && pass "$option" "$value" ;;
		--listen) listen=$value && pass "$option" "$value" ;;
		--port) port=$value && pass "$option" "$value" ;;
		--memory) memory=$value && pass "$option" "$value" ;;
		--restart) restart=$value && pass "$option" "$value" ;;
		--timeout) timeout=$value && pass "$option" "$value" ;;
		--keep) keep=$value && pass "$option" "$value" ;;
		--allow-unsigned) unsigned=yes && pass "$option" ;;
		--require-signature) require=yes && pass "$option" ;;
		--no-systemd) systemd='' && pass "$option" ;;
		--dry-run) dry=yes && pass "$option" ;;
		--rollback | --status | --uninstall) mode=${option#--} && pass "$option" ;;
		-*) fail 2 "there is no option $option" 'see --help' ;;
		*)
			[ -z "$kit" ] || fail 2 'one kit at a time' "got: $kit and $option"
			kit=$option
			;;
		esac
	done
	check_arguments
}

pass() { for word; do passed="$passed$(quote "$word")"; done; }

check_arguments() {
	for number in "$port" "$timeout" "$keep"; do
		case $number in '' | *[!0-9]* | 0*) fail 2 "$number is no whole number of at least 1" ;; esac
	done
	case $base in /*) ;; *) fail 2 "--base must be an absolute path, got $base" ;; esac
	case "$base$root$listen$memory" in *[!A-Za-z0-9./_:@+-]*) fail 2 'a path or an address has a character that a unit cannot hold' ;; esac
	case $digest in *[!0-9a-f]*) fail 2 '--digest takes 64 lower-case hex digits' ;; esac
	[ -z "$digest" ] || [ ${#digest} -eq 64 ] || fail 2 '--digest takes 64 lower-case hex digits'
	[ -z "$restart" ] || [ -z "$systemd" ] || fail 2 '--restart goes with --no-systemd'
	if [ "$mode" != install ]; then
		[ -z "$kit" ] || fail 2 "--$mode takes no kit" "got: $kit"
		return 0
	fi
	[ -n "$kit" ] || { usage >&2 && exit 2; }
	[ -f "$kit" ] || fail 2 "there is no such kit: $kit"
	[ -z "$key" ] || [ -f "$key" ] || fail 2 "there is no such key: $key"
	[ -z "$require" ] || [ -n "$key" ] || fail 2 '--require-signature goes with --key'
	[ -n "$key$digest$unsigned" ] ||
		fail 1 'nothing says whom to trust' 'hint: --key PUB, --digest SHA256, or --allow-unsigned'
}

# ---- over ssh

run_there() {
	case $host in -*) fail 2 "no host's name begins with a dash: $host" ;; esac
	away=$(there 'umask 077 && mktemp -d /tmp/edgequant-deploy.XXXXXX') || fail 1 "cannot reach $host" "by: $ssh"
	case $away in /tmp/edgequant-deploy.*) ;; *) fail 1 "$host gave no folder" "got: $away" ;; esac
	trap 'there "rm -rf $away" || :' EXIT
	there "cat > $away/edgequant-deploy.sh" <"$0"
	if [ -f "${0%/*}/edgequant.service" ]; then there "cat > $away/edgequant.service" <"${0%/*}/edgequant.service"; fi
	if [ -n "$kit" ]; then
		say "copying $kit to $host"
		there "cat > $away/kit" <"$kit"
		if [ -n "$key" ]; then
			there "cat > $away/key.pub" <"$key"
			passed="$passed--key $away/key.pub "
		fi
		if [ -f "$signature" ]; then there "cat > $away/kit.sig" <"$signature"; fi
		passed="$passed$away/kit"
	fi
	code=0
	there "$sudo sh $away/edgequant-deploy.sh $passed" </dev/null || code=$?
	exit "$code"
}

# shellcheck disable=SC2086,SC2029 # the command's words are split on purpose, and expand here
there() { $ssh "$host" "$1"; }

# ---- trust: nothing of the kit is run, and nothing unpacked but plain files into a private folder

plain() { # the kit's or image's tar
	if [ "$what" = kit ]; then gzip -dc "$kit"; else cat "$kit"; fi
}

open_kit() { # into $tmp/kit
	if [ -n "$digest" ]; then
		got=$(sha256sum <"$kit" | cut -d ' ' -f 1)
		[ "$got" = "$digest" ] || fail 1 'the kit is not the one that was named' "got: $got" "expected: $digest"
	fi
	head=$(head -c 10 "$kit" | od -An -v -tx1 | tr -d ' \n')
	case $head in
	1f8b08000000000002ff) what=kit ;;
	626c6f62732f73686132 | 6d616e69666573742e6a) what=image ;; # blobs/sha2…, manifest.j…
	*) fail 1 "this is neither kit nor image: $kit" 'hint: edgequant kit, edgequant image -o FILE.tar' "got: $head" ;;
	esac
	[ "$what" = image ] || gzip -t "$kit" 2>"$tmp/said" || fail 1 'the kit is damaged' "$(cat "$tmp/said")" 'hint: copy it again'
	list_kit
	mkdir "$tmp/kit"
	if [ "$what" = image ]; then
		open_image
		return 0
	fi
	plain | tar -xof - -C "$tmp/kit" SHA256SUMS 2>"$tmp/said" || fail 1 'the kit has no SHA256SUMS' "$(cat "$tmp/said")"
	if grep -qx SHA256SUMS.sig "$tmp/names"; then plain | tar -xof - -C "$tmp/kit" SHA256SUMS.sig; fi
	check_signature "$tmp/kit/SHA256SUMS.sig" "edgequant kit v1 sha256:$(sha256sum <"$tmp/kit/SHA256SUMS" | cut -d ' ' -f 1)"
	plain | tar -xof - -C "$tmp/kit" || fail 1 'the kit cannot be unpacked'
	check_sums
	id=$(sha256sum <"$tmp/kit/SHA256SUMS" | cut -d ' ' -f 1)
}

digests() { grep -o '"digest":"sha256:[0-9a-f]\{64\}"' | cut -d : -f 3 | tr -d '"'; } # of JSON as edgequant writes it

open_image() { # into $tmp/kit too: the layout's files, each of which is named by its digest
	plain | tar -xof - -C "$tmp/kit" || fail 1 'the image cannot be unpacked'
	blobs=$tmp/kit/blobs/sha256
	[ -f "$tmp/kit/index.json" ] || fail 1 'the image cannot be read: it has no index.json' 'hint: it may have been cut off: copy it again'
	id=$(digests <"$tmp/kit/index.json")
	[ ${#id} -eq 64 ] || fail 1 'the archive does not hold one image' 'hint: edgequant image -o FILE.tar writes it'
	check_signature "$signature" '{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":"sha256:'"$id"'"},"type":"cosign container image signature"},"optional":null}'
	(cd "$blobs" && for blob in *; do echo "$blob  $blob"; done | sha256sum -c -) >"$tmp/said" 2>&1 ||
		fail 1 'a blob of the image is altered' "$(grep -v ': OK$' "$tmp/said" | head -n 1)" 'hint: copy the image again'
	case $(uname -m) in x86_64 | amd64) here=amd64 own=x86_64 ;; aarch64 | arm64) here=arm64 own=arm64 ;; *) here=none own=none ;; esac
	manifest=$id
	if ! grep -q '"layers":' "$blobs/$id"; then
		manifest=$(sed 's/{"digest"/\n&/g' "$blobs/$id" | grep "\"architecture\":\"$here\"" | digests) ||
			fail 1 "the image is not for this machine, $(uname -m)"
	fi
	config=$(sed 's/"layers":.*//' "$blobs/$manifest" | digests)
	grep -q "\"architecture\":\"$here\"" "$blobs/$config" || fail 1 "the image is not for this machine, $(uname -m)"
	sed 's/.*"layers"://' "$blobs/$manifest" | digests >"$tmp/layers"
	while read -r layer; do
		gzip -dc "$blobs/$layer" 2>/dev/null | tar -tf - >"$tmp/names" 2>/dev/null ||
			fail 1 'a layer of the image is not gzip' 'hint: build it without --compression zstd'
		! grep -qE '(^|/)\.(wh\.|\.(/|$))|^/' "$tmp/names" || fail 1 'a layer of the image removes files, or leads out' "$layer"
		sed -n 's|^bundles/\([^/]*\)/manifest.json$|\1|p' "$tmp/names" >>"$tmp/bundles"
		sed -n 's|^\(usr/lib/[^/]*-linux-gnu\)/\(ld-linux[^/]*\)$|loader=\1/\2|p' "$tmp/names" >>"$tmp/loader"
	done <"$tmp/layers"
	head -n 1 "$tmp/loader" >"$tmp/kit/kit.conf"
	{
		sed -n '1s|^loader=\(.*\)/[^/]*$|libraries=\1|p' "$tmp/loader"
		printf 'format=1\narchitecture=%s\npython=own\nbundles=%s\n' "$own" "$(tr '\n' ' ' <"$tmp/bundles" | sed 's/ $//')"
	} >>"$tmp/kit/kit.conf"
	case $(fact loader):$(fact bundles) in :* | *:) fail 1 'the image has no bundles, or no Python of ours' 'hint: build it without --base' ;; esac
	cp "${0%/*}/edgequant.service" "$tmp/kit/" 2>/dev/null || [ -z "$systemd" ] || fail 1 'edgequant.service is not beside this script'
}

list_kit() { # names to $tmp/names; refuses all but plain files under plain names, and more than fits
	free=$(df -Pk "$place" 2>/dev/null | awk 'NR == 2 { print $4 }')
	free=${free:-8388608} # a chroot whose / is no mount point: df does not know, so 4 GiB at the most
	plain | head -c "$((free * 512))" | tar -tvf - >"$tmp/list" 2>"$tmp/said" ||
		fail 1 'the kit cannot be read, or does not fit' "$(tail -n 1 "$tmp/said")" "free: $free KiB below $place; twice the kit's size is needed"
	# shellcheck disable=SC2016 # awk's
	awk '
		function refuse(what) { print "the archive holds " what ": " $0; bad = 1; exit 1 }
		$1 !~ /^-/ { refuse("what is no plain file") }
		NF != 6 || $6 !~ /^[A-Za-z0-9._+\/-]+$/ || $6 ~ /^[\/-]/ || $6 ~ /(^|\/)\.\.?(\/|$)/ { refuse("a name that may lead out") }
		seen[$6]++ { refuse("a name twice") }
		{ print $6 }
	' "$tmp/list" >"$tmp/names" || fail 1 "$(tail -n 1 "$tmp/names")" 'hint: what edgequant writes has none'
}

field() { sed -n "s/^ *\"$1\": \"\\(.*\\)\",\\{0,1\\}\$/\\1/p" "$2"; }

check_signature() { # FILE TEXT: FILE is a signature of TEXT by the key that was named
	[ -n "$key" ] || return 0
	need openssl 'hint: or say --digest SHA256, by a digest that came another way'
	case $(openssl version) in 'OpenSSL '[3-9]*) ;; *) fail 1 'OpenSSL 3 is needed to check ed25519' "got: $(openssl version)" ;; esac
	sig=$1 said=$2
	[ -f "$sig" ] || fail 1 "the $what is not signed" "expected: $sig" 'hint: edgequant kit --key KEY, or edgequant sign IMAGE --key KEY'
	name=$(openssl pkey -pubin -in "$key" -outform DER 2>/dev/null | sha256sum | cut -d ' ' -f 1)
	[ "$(field key "$sig")" = "sha256:$name" ] ||
		fail 1 "the $what is signed by another key" "got: $(field key "$sig")" "expected: sha256:$name"
	[ "$(field signed "$sig" | sed 's/\\"/"/g')" = "$said" ] ||
		fail 1 "the signature is for another $what" "got: $(field signed "$sig")"
	printf '%s' "$said" >"$tmp/message"
	field signature "$sig" | openssl base64 -d -A >"$tmp/raw" 2>/dev/null || :
	openssl pkeyutl -verify -pubin -inkey "$key" -rawin -in "$tmp/message" -sigfile "$tmp/raw" >/dev/null 2>&1 ||
		fail 1 'the signature is wrong' 'hint: signature or key is damaged: copy them again'
	say "signed by sha256:$name"
}

check_sums() {
	awk '{ print $2 }' "$tmp/kit/SHA256SUMS" | sort >"$tmp/expected"
	grep -vxE 'SHA256SUMS(\.sig)?' "$tmp/names" | sort | cmp -s - "$tmp/expected" ||
		fail 1 'the kit holds other files than its SHA256SUMS lists'
	(cd "$tmp/kit" && sha256sum -c SHA256SUMS) >"$tmp/said" 2>&1 ||
		fail 1 'a file of the kit is altered' "$(grep -v ': OK$' "$tmp/said" | head -n 1)" 'hint: copy the kit again'
}

# ---- the kit, once it is trusted

fact() { sed -n "s/^$1=//p" "${2:-$tmp/kit}/kit.conf"; }

setting() { sed -n "s/^$1=//p" "$2/settings.conf"; } # what was said when RELEASE was installed

check_host() {
	[ "$(fact format)" = 1 ] || fail 1 'the kit is of another format' "got: $(fact format)" 'hint: use the script of the kit'
	here=$(uname -m)
	case $here in aarch64) here=arm64 ;; amd64) here=x86_64 ;; esac
	[ "$(fact architecture)" = "$here" ] || fail 1 "the kit is for $(fact architecture), this is $here"
	[ "$(fact python)" = none ] || return 0
	version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || version=none
	[ "$version" = "$(fact host_python)" ] ||
		fail 1 "the kit needs the host's python3 to be $(fact host_python)" "got: $version" 'hint: a kit without --wheels-only brings its own'
}

python_of() { # RELEASE ARGUMENT...: run the release's own Python on this host's kernel and CPU
	release=$1
	shift
	tree=$release/rootfs
	if [ "$(fact python "$release")" = none ]; then
		env -i PATH=/usr/bin:/bin PYTHONPATH="$tree/opt/edgequant" PYTHONDONTWRITEBYTECODE=1 python3 "$@"
	else
		env -i PATH=/usr/bin:/bin PYTHONHOME="$tree/usr" PYTHONPATH="$tree/opt/edgequant" PYTHONDONTWRITEBYTECODE=1 \
			"$tree/$(fact loader "$release")" --inhibit-cache --library-path "$tree/$(fact libraries "$release")" \
			"$tree/usr/bin/python3" "$@"
	fi
}

make_release() { # in $1, from $tmp/kit
	mkdir -p "$1/rootfs"
	for name in SHA256SUMS SHA256SUMS.sig kit.conf edgequant-deploy.sh edgequant.service; do
		[ ! -f "$tmp/kit/$name" ] || cp "$tmp/kit/$name" "$1/$name"
	done
	if [ "$what" = image ]; then
		while read -r layer; do gzip -dc "$blobs/$layer" | tar -xof - -C "$1/rootfs"; done <"$tmp/layers"
		return 0
	fi
	tar -xof "$tmp/kit/runtime.tar" -C "$1/rootfs"
	for name in $(fact bundles); do
		mkdir -p "$1/rootfs/bundles/$name"
		tar -xof "$tmp/kit/bundles/$name.tar" -C "$1/rootfs/bundles/$name"
	done
}

self_check() { # RELEASE: files, CPU and golden vectors, with the release's own runtime
	for name in $(fact bundles "$1"); do
		if ! python_of "$1" -m toolkit.runtime verify "$1/rootfs/bundles/$name" >"$tmp/said" 2>&1; then
			sed 's/^/  /' "$tmp/said" >&2
			return 1
		fi
		say "self-check of $name: ok"
	done
}

write_start() { # RELEASE: what the unit and run.sh need to know
	above='' paths=''
	[ "$(fact python "$1")" != none ] || above=$base/current/rootfs
	for name in $(fact bundles "$1"); do paths="$paths $above/bundles/$name"; done
	signed=''
	if [ -n "$require" ]; then
		cp "$key" "$1/rootfs/key.pub"
		paths="$paths --require-signature $above/key.pub"
		# shellcheck disable=SC2016 # run.sh's
		signed='--require-signature "$tree/key.pub"'
	fi
	echo "EDGEQUANT_ARGUMENTS=${paths# }" >"$1/edgequant.env"
	printf 'listen=%s\nport=%s\nmemory=%s\n' "$listen" "$port" "$memory" >"$1/settings.conf"
	{
		printf '#!/bin/sh\n# Starts the server in the foreground: for a supervisor of your own.\nset -eu\n'
		# shellcheck disable=SC2016 # run.sh's
		printf 'here=$(cd "$(dirname "$0")" && pwd -P)\ntree=$here/rootfs\nexec env -i PATH=/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 '
		if [ "$(fact python "$1")" = none ]; then
			# shellcheck disable=SC2016
			printf 'PYTHONPATH="$tree/opt/edgequant" python3'
		else
			# shellcheck disable=SC2016
			printf 'PYTHONHOME="$tree/usr" PYTHONPATH="$tree/opt/edgequant" \\\n\t"$tree/%s" --inhibit-cache --library-path "$tree/%s" "$tree/usr/bin/python3"' \
				"$(fact loader "$1")" "$(fact libraries "$1")"
		fi
		printf ' -m toolkit.runtime serve'
		# shellcheck disable=SC2016
		for name in $(fact bundles "$1"); do printf ' "$tree/bundles/%s"' "$name"; done
		printf ' %s --host %s --port %s "$@"\n' "$signed" "$listen" "$port"
	} >"$1/run.sh"
	chmod 755 "$1/run.sh"
}

# ---- switching

point() { # NAME TARGET: a symbolic link, set in one step
	ln -s "$2" "$base_here/.$1.new"
	mv -T "$base_here/.$1.new" "$base_here/$1"
}

write_unit() { # RELEASE
	unit=$root/etc/systemd/system/edgequant.service
	change=''
	[ "$(fact python "$1")" != none ] || change='/^RootDirectory=/d;/^MountAPIVFS=/d;s|PYTHONPATH=|&@BASE@/current/rootfs|;'
	at=$(setting listen "$1")
	case $at in 127.* | ::1) ;; *) change="$change/^IPAddress/d;" ;; esac
	change="${change}s|@BASE@|$base|g;s|@LISTEN@|$at|g;s|@PORT@|$(setting port "$1")|g;s|@MEMORY@|$(setting memory "$1")|g"
	mkdir -p "${unit%/*}"
	sed "$change" "$1/edgequant.service" >"$unit.new"
	mv "$unit.new" "$unit"
	[ -n "$root" ] || { systemctl daemon-reload && systemctl --quiet enable edgequant.service; }
}

restart() { # start the server that `current` names; 0 when there is nothing that could
	if [ -n "$systemd" ]; then
		[ -z "$root" ] || return 0
		systemctl restart edgequant.service 9>&-
	elif [ -n "$restart" ]; then
		sh -c "$restart" 9>&-
	fi
}

restarts() { [ -n "$restart" ] || { [ -n "$systemd" ] && [ -z "$root" ]; }; }

ready() { # RELEASE: ask /ready until it says 200 or the time is over
	restarts || return 0
	at=$(setting listen "$1")
	case $at in 0.0.0.0 | ::) at=127.0.0.1 ;; *:*) at="[$at]" ;; esac
	at=http://$at:$(setting port "$1")/ready
	end=$(($(date +%s) + timeout))
	until python_of "$1" -m toolkit.runtime health --timeout 2 --url "$at" 2>"$tmp/said"; do
		if [ "$(date +%s)" -ge "$end" ]; then
			sed 's/^/  /' "$tmp/said" >&2
			return 1
		fi
		sleep 1
	done
}

switch_to() { # RELEASE's name; goes back when the server does not get ready
	before=$(readlink "$base_here/current" || :)
	point current "$1"
	[ -z "$systemd" ] || write_unit "$base_here/$1"
	if restart && ready "$base_here/$1"; then
		[ -z "$before" ] || [ "$before" = "$1" ] || point previous "$before"
		return 0
	fi
	say 'error: the new release does not get ready; going back'
	if [ -z "$before" ]; then
		rm "$base_here/current"
		[ -z "$systemd" ] || [ -n "$root" ] || systemctl --quiet disable --now edgequant.service || :
		fail 1 'there was no release before, so nothing is served'
	fi
	point current "$before"
	[ -z "$systemd" ] || write_unit "$base_here/$before"
	if restart && ready "$base_here/$before"; then fail 1 'rolled back: the release before serves again' "release: $before"; fi
	fail 1 'rolled back, but the release before does not get ready either' "release: $before"
}

prune() {
	# shellcheck disable=SC2012 # names are digests; the newest first is what ls -t is for
	for old in $(ls -1t "$base_here/releases" | tail -n "+$((keep + 1))"); do
		case releases/$old in
		"$(readlink "$base_here/current" || :)" | "$(readlink "$base_here/previous" || :)") ;;
		*) rm -rf "$base_here/releases/$old" ;;
		esac
	done
}

# ---- the commands

install_kit() {
	open_kit
	check_host
	new=releases/$id
	if [ -n "$dry" ]; then tell_install && return 0; fi
	if [ -d "$base_here/$new" ]; then
		say "$new is here already"
		self_check "$base_here/$new" || fail 1 'the self-check failed on this host; nothing was switched'
	else
		mkdir -p "$base_here/releases"
		partial=$(mktemp -d "$base_here/.partial.XXXXXX")
		chmod 755 "$partial"
		make_release "$partial"
		self_check "$partial" || fail 1 'the self-check failed on this host; nothing was switched'
		sync
		mv -T "$partial" "$base_here/$new"
		partial=''
	fi
	write_start "$base_here/$new"
	switch_to "$new"
	prune
	say "serving $new"
}

tell_install() {
	echo "would unpack $(fact bundles) and the runtime to $root$base/$new"
	echo "would check files, CPU and golden vectors there, by the kit's own runtime"
	echo "would point $root$base/current from $(readlink "$base_here/current" || echo nothing) to $new"
	[ -z "$systemd" ] || echo "would write $root/etc/systemd/system/edgequant.service, port $port, at most $memory of memory"
	if restarts; then
		echo "would restart the server: ${restart:-systemctl restart edgequant.service}"
		echo "would ask /ready at $listen:$port for up to $timeout s, and go back when it does not answer 200"
	fi
	echo "would keep $keep releases"
}

rollback() {
	back=$(readlink "$base_here/previous") || fail 1 'there is no release to go back to'
	[ -d "$base_here/$back" ] || fail 1 'the release before is gone' "expected: $base_here/$back"
	if [ -n "$dry" ]; then
		echo "would check $back and point $root$base/current to it"
		return 0
	fi
	self_check "$base_here/$back" || fail 1 'the self-check of the release before failed; nothing was switched'
	switch_to "$back"
	say "serving $back"
}

status() {
	current=$(readlink "$base_here/current" || echo none)
	echo "current:  $current"
	echo "previous: $(readlink "$base_here/previous" || echo none)"
	for each in "$base_here"/releases/*; do
		[ ! -d "$each" ] || echo "release:  releases/${each##*/}  $(fact bundles "$each")"
	done
	if [ -d /run/systemd/system ] && [ -z "$root" ]; then echo "service:  $(systemctl is-active edgequant.service || :)"; fi
	[ "$current" != none ]
}

uninstall() {
	[ -d "$base_here/releases" ] || fail 1 "nothing is installed in $base_here"
	if [ -n "$dry" ]; then
		echo "would stop the service and remove $root/etc/systemd/system/edgequant.service, $base_here"
		return 0
	fi
	unit=$root/etc/systemd/system/edgequant.service
	if [ -n "$systemd" ] && [ -f "$unit" ]; then
		[ -n "$root" ] || systemctl --quiet disable --now edgequant.service || :
		rm -f "$unit"
		[ -n "$root" ] || systemctl daemon-reload
	fi
	rm -rf "$base_here/releases" "$base_here/current" "$base_here/previous" "$base_here/.lock"
	say 'uninstalled'
}

lock() {
	mkdir -p "$base_here"
	if command -v flock >/dev/null 2>&1; then
		exec 9>"$base_here/.lock"
		flock -n 9 || fail 1 'another run of this script is at work here'
	elif ! (set -C && echo $$ >"$base_here/.lock.pid") 2>/dev/null; then
		other=$(cat "$base_here/.lock.pid")
		kill -0 "$other" 2>/dev/null && fail 1 'another run of this script is at work here' "process: $other"
		echo $$ >"$base_here/.lock.pid" # that run was killed, or the power failed
	fi
}

clean_up() {
	[ -z "$tmp" ] || rm -rf "$tmp"
	[ -z "$partial" ] || rm -rf "$partial"
	[ -n "$dry" ] || rm -f "$base_here/.current.new" "$base_here/.previous.new"
	[ "$(cat "$base_here/.lock.pid" 2>/dev/null || :)" != $$ ] || rm -f "$base_here/.lock.pid"
	[ "$mode" != uninstall ] || [ -n "$dry" ] || rmdir "$base_here" 2>/dev/null || :
}

main() {
	read_arguments "$@"
	signature=$kit.sig # of an image; a kit has its own inside
	[ -z "$host" ] || run_there
	base_here=$root$base partial=''
	place=$base_here # the nearest folder that is there: its disk is the one that counts
	while [ ! -d "$place" ]; do place=${place%/*}/ place=${place%/} place=${place:-/}; done
	if [ "$mode" != status ] && [ -n "$systemd" ] && [ -z "$root" ] && [ ! -d /run/systemd/system ]; then
		fail 1 'systemd does not run here' 'hint: --no-systemd, and a supervisor of your own'
	fi
	tmp='' work=''
	trap clean_up EXIT
	trap 'exit 143' INT TERM HUP
	[ -n "$dry" ] || [ "$mode" = status ] || { lock && work=$base_here/.work.XXXXXX; }
	tmp=$(mktemp -d ${work:+"$work"})
	case $mode in install) install_kit ;; *) "$mode" ;; esac
}

main "$@"
