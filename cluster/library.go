//go:build mpi && linux

package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"os"

	"github.com/ebitengine/purego"
)

// library is MPI as C calls it, found at run time. Arguments are slices where C has buffers and *uintptr where it has
// handles: they are addresses in Open MPI and 32-bit integers in MPICH, which fit there too.
type library struct {
	path string

	initThread  func(argc, argv uintptr, required int32, provided *int32) int32
	commRank    func(comm uintptr, rank *int32) int32
	commSize    func(comm uintptr, size *int32) int32
	commDup     func(comm uintptr, dup *uintptr) int32
	setHandler  func(comm, handler uintptr) int32
	alltoall    func(send []float32, n int32, t uintptr, recv []float32, m int32, u, comm uintptr, req *uintptr) int32
	allgather   func(send []float32, n int32, t uintptr, recv []float32, m int32, u, comm uintptr, req *uintptr) int32
	gatherBytes func(send []byte, n int32, t uintptr, recv []byte, m int32, u, comm uintptr, req *uintptr) int32
	send        func(buf []byte, n int32, t uintptr, to, tag int32, comm uintptr, req *uintptr) int32
	receive     func(buf []byte, n int32, t uintptr, from, tag int32, comm uintptr, req *uintptr) int32
	test        func(req *uintptr, done *int32, status uintptr) int32
	cancel      func(req *uintptr) int32
	free        func(req *uintptr) int32
	finalize    func() int32
	errorText   func(code int32, text []byte, n *int32) int32

	world, float, byte, errorsReturn, ignore uintptr
	anySource                                int32
}

// funneled is MPI_THREAD_FUNNELED: one thread of several calls MPI.
const funneled = 1

// libraries are the files of the launchers' MPIs.
var libraries = map[string][]string{
	openMPI: {"libmpi.so.40", "libmpi.so.80"},
	mpich:   {"libmpich.so.12", "libmpi.so.12"}, // Debian's name, and that of MPICH's ABI
}

// load finds the launcher's library, or the one that VGGO_MPI names.
func load(launch Launch) (*library, error) {
	// UCX, below MPICH, takes SIGSEGV, and Open MPI four signals: Go needs them for its own faults, such as that of a
	// mapped file that is shortened.
	os.Setenv("UCX_ERROR_SIGNALS", "")
	os.Setenv("OMPI_MCA_opal_signal", "6")
	paths := libraries[launch.Launcher]
	if own := os.Getenv("VGGO_MPI"); own != "" {
		paths = []string{own}
	}
	var failed error
	for _, path := range paths {
		handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err != nil {
			failed = cmp.Or(failed, err)
			continue
		}
		l := &library{path: path}
		if err := l.bind(handle); err != nil {
			return nil, &LibraryError{Launch: launch, Library: path, Err: fmt.Errorf("%s: %w", path, err)}
		}
		return l, nil
	}
	return nil, &LibraryError{Launch: launch, Err: failed}
}

func (l *library) bind(handle uintptr) error {
	for name, f := range map[string]any{
		"MPI_Init_thread": &l.initThread, "MPI_Comm_rank": &l.commRank, "MPI_Comm_size": &l.commSize,
		"MPI_Comm_dup": &l.commDup, "MPI_Comm_set_errhandler": &l.setHandler, "MPI_Ialltoall": &l.alltoall,
		"MPI_Isend": &l.send, "MPI_Irecv": &l.receive, "MPI_Test": &l.test, "MPI_Cancel": &l.cancel,
		"MPI_Request_free": &l.free, "MPI_Finalize": &l.finalize, "MPI_Error_string": &l.errorText,
	} {
		if err := register(handle, name, f); err != nil {
			return err
		}
	}
	for _, f := range []any{&l.allgather, &l.gatherBytes} {
		if err := register(handle, "MPI_Iallgather", f); err != nil {
			return err
		}
	}
	find := func(name string) uintptr { p, _ := purego.Dlsym(handle, name); return p }
	if l.world = find("ompi_mpi_comm_world"); l.world != 0 {
		l.float, l.byte = find("ompi_mpi_float"), find("ompi_mpi_byte")
		l.errorsReturn, l.anySource = find("ompi_mpi_errors_return"), -1
		if l.float == 0 || l.byte == 0 || l.errorsReturn == 0 {
			return errors.New("not the symbols of Open MPI 4")
		}
		return nil
	}
	// mpi.h of MPICH and of those that share its ABI.
	l.world, l.float, l.byte = 0x44000000, 0x4c00040a, 0x4c00010d
	l.errorsReturn, l.ignore, l.anySource = 0x54000001, 1, -2
	return nil
}

// register makes a Go function of a library's. purego panics where there is none.
func register(handle uintptr, name string, f any) error {
	if _, err := purego.Dlsym(handle, name); err != nil {
		return err
	}
	purego.RegisterLibFunc(f, handle, name)
	return nil
}

// fault is what a return code means.
func (l *library) fault(call string, code int32) error {
	if code == 0 {
		return nil
	}
	text, n := make([]byte, 8192), int32(0)
	l.errorText(code, text, &n)
	return fmt.Errorf("%s: %s", call, text[:max(0, min(int(n), len(text)))])
}
