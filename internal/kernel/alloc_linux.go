package kernel

import "golang.org/x/sys/unix"

// adviseHuge asks for huge pages. A kernel that refuses costs speed, nothing else, so its error is dropped.
func adviseHuge(s []float32) {
	if b := hugePages(s); b != nil {
		_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	}
}

// adviseSmall takes adviseHuge back.
func adviseSmall(s []float32) {
	if b := hugePages(s); b != nil {
		_ = unix.Madvise(b, unix.MADV_NOHUGEPAGE)
	}
}
