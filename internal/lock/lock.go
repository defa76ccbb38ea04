// Package lock keeps processes, and goroutines of one, from working on the same file or folder at once.
package lock

import (
	"errors"
	"fmt"
	"os"

	"github.com/vggo/vggo/internal/durable"
)

// ErrHeld is what Take says of a lock that another holds.
var ErrHeld = errors.New("another process holds it")

// Take makes the file if it is not there and takes its lock, or says ErrHeld at once. unlock removes the file, so that
// nothing is left behind; the system lets go of the lock of a process that dies. Systems and file systems without such
// locks let everybody have it.
func Take(path string) (unlock func(), err error) {
	for {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if durable.InRemoval(err) {
			return nil, ErrHeld // until now
		}
		if err != nil {
			return nil, err
		}
		err = durable.TryLock(f)
		if err == nil && durable.Stands(f, path) {
			return func() { durable.RemoveHeld(f, path) }, nil
		}
		f.Close()
		switch {
		case err == nil: // its holder removed it meanwhile
		case errors.Is(err, durable.ErrLocked):
			return nil, ErrHeld
		default:
			return nil, fmt.Errorf("cannot lock %s: %w", path, err)
		}
	}
}
