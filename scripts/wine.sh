#!/usr/bin/env bash
# Runs a program of Windows' under Wine: GOOS=windows go test -exec "$PWD/scripts/wine.sh" ./weights
#
# It takes Debian 13's Wine 10, 115 MB, and unpacks it into a folder of its own, once: Debian 12's Wine 8 lacks
# bcryptprimitives.dll, without which no program of Go's begins, and cannot remove a file as Go does. Needs root, to run
# it in that folder, with this system's other folders beside it.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/vggo-wine
root=$cache/root
export WINEPREFIX=$cache/prefix WINESERVER=/usr/lib/wine/wineserver64 WINEDEBUG=-all LC_ALL=C.UTF-8
export WINEDLLOVERRIDES='mscoree,mshtml,winemenubuilder.exe=' # neither .NET nor a browser, nor entries in a desktop's menus

# Runs a command in root, in the folder that this one stands in.
inside() {
  unshare -m bash -c '
    set -e
    root=$1 here=$2
    shift 2
    for dir in /*; do
      [ -d "$dir" ] && [ ! -L "$dir" ] && [ "$dir" != /usr ] && [ "$dir" != /etc ] || continue
      mkdir -p "$root$dir"
      mount --rbind "$dir" "$root$dir"
    done
    exec unshare --root="$root" --wd="$here" "$@"' inside "$root" "$PWD" "$@"
}

fetch() {
  local apt dll=usr/lib/x86_64-linux-gnu/wine/x86_64-windows/zlib1.dll zlib=usr/x86_64-w64-mingw32/lib/zlib1.dll
  rm -rf "$cache"
  mkdir -p "$root" "$cache"/apt/{lists,cache,debs}
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main" >"$cache/apt/sources"
  : >"$cache/apt/status"
  apt="-qq -o Dir::Etc::SourceList=$cache/apt/sources -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$cache/apt/lists"
  apt="$apt -o Dir::Cache=$cache/apt/cache -o Dir::State::status=$cache/apt/status -o APT::Sandbox::User=root"
  apt-get $apt update
  (cd "$cache/apt/debs" && apt-get $apt download wine64 libwine libz-mingw-w64 libc6 libc-bin libgcc-s1 libunwind8 liblzma5)
  for deb in "$cache"/apt/debs/*.deb; do
    dpkg -x "$deb" "$root"
  done
  ln -s usr/lib "$root/lib"
  ln -s usr/lib64 "$root/lib64"
  # As the package does it when it is installed: Wine takes a library of its own for one by this mark.
  { head -c 64 "$root/$zlib"; printf 'Wine builtin DLL'; head -c 16 /dev/zero; tail -c +97 "$root/$zlib"; } >"$root/$dll"
  rm -r "$cache/apt"
  inside /usr/lib/wine/wine64 cmd /c ver >/dev/null 2>&1 # makes the prefix
  touch "$cache/ready"
}

[ -e "$cache/ready" ] || fetch
if [ $# -gt 0 ]; then
  inside /usr/lib/wine/wine64 "$@" 2> >(grep -vE 'FreeType|TrueType fonts|^or equal to 2|www.freetype' >&2)
fi
