#!/bin/bash
# avx512-emulate.sh BINARY [ARGS...]
#
# Runs a static Linux/amd64 program (CGO_ENABLED=0 go build, go test -c) on an
# emulated CPU with AVX-512 F/CD/BW/DQ/VL, for machines that have none: the
# Bochs emulator boots a Debian kernel with BINARY in its initramfs. BINARY's
# stdout and stderr both come back on stdout; its exit status is the script's
# (124: EMU_TIMEOUT passed; 125: the emulator failed).
#
#   EMU_FILES    files and directories (separated by blanks) copied to /work in
#                the guest, which is BINARY's working directory
#   EMU_TIMEOUT  seconds, 1200 by default
#   EMU_MEM      MiB of guest memory, 256 to 2048, by default 1024 + 3 times the
#                size of the files
#   VGGO_*, GODEBUG, GOGC, GOMAXPROCS, GOMEMLIMIT, GOTRACEBACK are passed on.
#
# For Debian 12 on amd64. Missing packages are installed with apt-get (as root
# or with sudo); the kernel and busybox are only unpacked, into the cache
# ${XDG_CACHE_HOME:-$HOME/.cache}/vggo-emu. One CPU, no disk, no network; some
# 50 million instructions a second: good for checking results, not for timing.
set -euo pipefail
die() { echo "avx512-emulate: $*" >&2; exit 125; }
[ $# -ge 1 ] || die "usage: avx512-emulate.sh BINARY [ARGS...]"
[ -f "$1" ] || die "$1: no such file"
binary=$1; shift
cache=${XDG_CACHE_HOME:-$HOME/.cache}/vggo-emu
tmp=$(mktemp -d)
pid=''
trap 'if [ "$pid" ]; then kill "$pid" 2>/dev/null || :; fi; rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- what it needs -----------------------------------------------------------

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=()
for p in bochs bochs-term bochsbios vgabios binutils cpio lz4; do
	dpkg-query -W -f '${Status}' $p 2>/dev/null | grep -q ' installed' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ] || [ ! -f "$cache/kernel" ]; then
	{
		as_root apt-get -qq update
		[ ${#missing[@]} = 0 ] || as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get -qq install -y --no-install-recommends "${missing[@]}"
	} >"$tmp/apt.log" 2>&1 </dev/null || { cat "$tmp/apt.log" >&2; die "apt-get failed"; }
fi

if [ ! -f "$cache/kernel" ]; then
	mkdir -p "$cache" "$tmp/pkg"
	image=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
	(cd "$tmp/pkg" && apt-get -qq download "$image" busybox-static 2>"$tmp/apt.log") ||
		{ cat "$tmp/apt.log" >&2; die "apt-get download failed"; }
	for p in "$tmp"/pkg/*.deb; do dpkg -x "$p" "$tmp/pkg"; done
	cp "$tmp/pkg/bin/busybox" "$cache/"
	# The kernel proper is an LZ4 payload of vmlinuz (its length at the end);
	# flattened, it can be entered at its start in 64-bit mode.
	k=$(echo "$tmp"/pkg/boot/vmlinuz-*)
	field() { od -An -v -t "u$2" -j "$1" -N "$2" "$k"; }
	dd if="$k" bs=1M iflag=skip_bytes,count_bytes status=none \
		skip=$((($(field 0x1f1 1) + 1) * 512 + $(field 0x248 4))) count=$(($(field 0x24c 4) - 4)) |
		lz4 -dcq >"$tmp/vmlinux" || die "cannot unpack $k"
	objcopy -O binary "$tmp/vmlinux" "$tmp/kernel"
	cp "$tmp/kernel" "$cache/kernel.$$"
	mv "$cache/kernel.$$" "$cache/kernel"
	rm -rf "$tmp/pkg" "$tmp/vmlinux" "$tmp/kernel"
fi

# --- initramfs ---------------------------------------------------------------

root=$tmp/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp,work,emu}
cp "$cache/busybox" "$root/bin/"
cp -L "$binary" "$root/emu/"
prog=/emu/${binary##*/}
chmod 755 "$root$prog"
for f in ${EMU_FILES:-}; do cp -rL "$f" "$root/work/" || die "EMU_FILES: cannot copy $f"; done

{
	echo "#!/bin/busybox sh"
	echo "cd /work"
	for v in ${!VGGO_*} GODEBUG GOGC GOMAXPROCS GOMEMLIMIT GOTRACEBACK; do
		if [ -n "${!v+set}" ]; then printf 'export %s=%q\n' "$v" "${!v}"; fi
	done
	printf 'exec'
	printf ' %q' "$prog" "$@"
	echo
} >"$root/emu/run.sh"

mark=@@vggo-emu
cat >"$root/init" <<-EOF
	#!/bin/busybox sh
	bb=/bin/busybox
	\$bb mount -t proc proc /proc
	\$bb mount -t sysfs sysfs /sys
	\$bb mount -t devtmpfs dev /dev
	\$bb ifconfig lo 127.0.0.1
	\$bb stty -opost
	export PATH=/bin HOME=/tmp
	echo "$mark start"
	\$bb sh /emu/run.sh </dev/null
	echo "$mark exit \$?"
	\$bb sleep 100000
EOF
chmod 755 "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc -R 0:0) >"$tmp/initrd"

# --- memory image and reset vector -------------------------------------------

# At 16 MiB: the kernel, some room for its bss; then boot_params, command line
# and page tables (low, 2 MiB); then the initramfs.
size() { stat -c %s "$1"; }
kernel=$((16 << 20))
low=$((kernel + (($(size "$cache/kernel") + (18 << 20)) & ~((2 << 20) - 1))))
initrd=$((low + (2 << 20)))
mem=${EMU_MEM:-$((1024 + 3 * ($(size "$tmp/initrd") >> 20)))}
if [ "$mem" -lt 256 ] || [ "$mem" -gt 2048 ]; then die "$mem MiB of guest memory, not 256 to 2048 (see EMU_MEM)"; fi
ips=50000000 # instructions that make a second of the guest's time

# XSAVEC and XSAVES off: Bochs 2.7 reports a wrong size for their area, for
# which Linux would disable AVX. The rest is only for a short boot.
printf %s "console=ttyS0,115200 quiet panic=-1 reboot=t clearcpuid=321,323 nosmp nolapic noapic" \
	" acpi=off pci=off mitigations=off tsc=reliable tsc_early_khz=$((ips / 1000))" \
	" cryptomgr.notests initcall_blacklist=load_system_certificate_list,init_kprobe_trace,cubictcp_register" \
	>"$tmp/cmdline"

cat >"$tmp/boot.s" <<'EOF'
	# ROM, 64 KiB: from the reset vector at its end to the kernel in 64-bit mode.
	.section .rom, "ax"
	.code16
	.set	base, 0xf0000		# its address below 1 MiB
rom:	cli
	mov	$0xf000, %ax
	mov	%ax, %ds
	lgdtl	gdtr - rom
	mov	%cr0, %eax
	or	$1, %al			# protected mode
	mov	%eax, %cr0
	ljmpl	$0x08, $base + prot - rom
	.code32
prot:	mov	$0x18, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	# Bochs 2.7 reads the memory image into one run of its pool of 128 KiB
	# blocks, but gives each block an address at first use: use them in order.
	mov	$KERNEL, %esi
touch:	lodsb
	add	$0x1ffff, %esi
	cmp	$RAM_END, %esi
	jb	touch
	mov	$0x20, %eax		# PAE
	mov	%eax, %cr4
	mov	$LOW + 0x2000, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx	# EFER: long mode
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	%cr0, %eax
	or	$0x80000000, %eax	# paging
	mov	%eax, %cr0
	ljmpl	$0x10, $base + long - rom
	.code64
long:	mov	$LOW, %esi		# boot_params
	mov	$KERNEL, %eax
	jmp	*%rax
	.balign	8
gdt:	.quad	0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:	.word	gdtr - gdt - 1
	.long	base + gdt - rom
	.org	0xfff0
	.byte	0xe9			# jmp rom (16-bit)
	.word	rom - . - 2
	.org	0x10000

	.section .low, "a"		# struct boot_params
	.org	0x1e8
	.byte	2			# e820_entries
	.org	0x1fe
	.word	0xaa55
	.ascii	"\0\0HdrS"
	.word	0x20f			# protocol version
	.org	0x210
	.byte	0xff, 1			# type_of_loader, loadflags
	.org	0x218
	.long	INITRD, INITRD_SIZE	# ramdisk_image, ramdisk_size
	.org	0x228
	.long	LOW + 0x1000		# cmd_line_ptr
	.org	0x2d0			# e820_table
	.quad	0, 0x9f000
	.long	1
	.quad	0x100000, RAM_END - 0x100000
	.long	1
	.org	0x1000
	.incbin	"cmdline"
	.byte	0
	.org	0x2000			# page tables: 4 GiB, identity
	.quad	LOW + 0x3007
	.org	0x3000
	.quad	LOW + 0x4007, LOW + 0x5007, LOW + 0x6007, LOW + 0x7007
	.org	0x4000
	.set	page, 0x87		# 2 MiB each
	.rept	2048
	.quad	page
	.set	page, page + 0x200000
	.endr
	.org	0x200000
EOF
as -I "$tmp" --defsym KERNEL=$kernel --defsym LOW=$low --defsym INITRD=$initrd \
	--defsym INITRD_SIZE="$(size "$tmp/initrd")" --defsym RAM_END=$((mem << 20)) \
	"$tmp/boot.s" -o "$tmp/boot.o"
objcopy -O binary -j .rom "$tmp/boot.o" "$tmp/rom"
objcopy -O binary -j .low "$tmp/boot.o" "$tmp/low"
cp "$cache/kernel" "$tmp/ram"
truncate -s $((low - kernel)) "$tmp/ram"
cat "$tmp/low" "$tmp/initrd" >>"$tmp/ram"
rm -rf "$root" "$tmp/initrd"

# --- run ---------------------------------------------------------------------

cat >"$tmp/bochsrc" <<EOF
config_interface: textconfig
display_library: term
cpu: model=corei7_skylake_x, count=1, ips=$ips, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=$mem, host=$mem
romimage: file=rom
optramimage1: file=ram, address=$(printf '%#x' $kernel)
pci: enabled=0
ata0: enabled=0
plugin_ctrl: biosdev=0, gameport=0, parallel=0, speaker=0, extfpuirq=0, iodebug=0
com1: enabled=1, mode=file, dev=serial
clock: sync=none, time0=utc
log: log
panic: action=fatal
EOF
echo c >"$tmp/debugger" # Debian's Bochs starts in its debugger: continue
mkfifo "$tmp/serial"
(cd "$tmp" && TERM=dumb exec timeout --foreground -k 1 "${EMU_TIMEOUT:-1200}" \
	bochs -f bochsrc -rc debugger </dev/null >console 2>&1) 4>"$tmp/serial" &
pid=$!

# The guest never ends by itself: its exit line ends the run.
started='' status=''
while IFS= read -r line || [ -n "$line" ]; do
	case $line in
	"$mark start"*) started=1 ;;
	*"$mark exit "*)
		status=${line##*"$mark exit "}
		printf %s "${line%"$mark exit "*}" # output that ended without a newline
		break ;;
	*) if [ $started ]; then printf '%s\n' "$line"; else echo "$line" >>"$tmp/boot"; fi ;;
	esac
done <"$tmp/serial"
if [ "$status" ]; then exit "${status%$'\r'}"; fi
rc=0
wait "$pid" || rc=$?
pid=''
if [ $rc = 124 ] || [ $rc = 137 ]; then
	echo "avx512-emulate: no end after ${EMU_TIMEOUT:-1200} s" >&2
	exit 124
fi
tail -n 20 "$tmp/log" "$tmp/console" >&2 || :
[ $started ] || tail -n 20 "$tmp/boot" >&2 || :
die "the emulator stopped ($rc)"
