package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vggo/vggo/internal/lock"
	"github.com/vggo/vggo/internal/plainfile"
)

// lockFile is held by the process that trains in a folder.
const lockFile = ".train.lock"

// RunningError is a folder in which another process trains.
type RunningError struct{ Folder string }

func (e *RunningError) Error() string { return "another process trains in " + e.Folder }

// OccupiedError is a folder that holds another run.
type OccupiedError struct{ Folder string }

func (e *OccupiedError) Error() string { return e.Folder + " holds a run already" }

// folderLock is a run's folder while this process works in it.
type folderLock struct {
	folder string
	made   []string        // folders that were not there, the innermost first
	had    map[string]bool // the names that were
	unlock func()
}

// take locks a folder, which must be there, and removes what a killed process has left half written.
func take(folder string) (*folderLock, error) {
	unlock, err := lock.Take(filepath.Join(folder, lockFile))
	if errors.Is(err, lock.ErrHeld) {
		return nil, &RunningError{folder}
	}
	if err != nil {
		return nil, err
	}
	c := &folderLock{folder: folder, unlock: unlock}
	if err := clean(folder); err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

// takeNew is take for a run that begins: it makes the folder, and refuses one that holds a run.
func takeNew(folder string) (*folderLock, error) {
	var made []string
	for dir := filepath.Clean(folder); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, dir)
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		removeFolders(made)
		return nil, err
	}
	c, err := take(folder)
	if err != nil {
		removeFolders(made)
		return nil, err
	}
	c.made, c.had = made, map[string]bool{}
	names, err := checkpoints(folder)
	if err == nil && len(names) > 0 {
		err = &OccupiedError{folder}
	}
	if err != nil {
		c.release()
		return nil, err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		c.release()
		return nil, err
	}
	for _, e := range entries {
		c.had[e.Name()] = true
	}
	return c, nil
}

// release lets others work in the folder. It may be called again.
func (c *folderLock) release() {
	if c != nil && c.unlock != nil {
		c.unlock()
		c.unlock = nil
	}
}

// undo releases the folder of a run that never began, and takes away what it has made there.
func (c *folderLock) undo(names ...string) error {
	if c == nil {
		return nil
	}
	var errs []error
	for _, name := range names {
		if c.had[name] {
			continue
		}
		if err := os.Remove(filepath.Join(c.folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	c.release()
	removeFolders(c.made)
	return errors.Join(errs...)
}

// removeFolders removes folders as far as they are empty, the innermost first.
func removeFolders(folders []string) {
	for _, dir := range folders {
		if os.Remove(dir) != nil {
			return
		}
	}
}

// clean removes what a killed process has left half written.
func clean(folder string) error {
	for _, name := range []string{"step-*.safetensors", BestFile, ModelFile, RecipeFile, CurvesFile, ReportFile} {
		left, err := plainfile.Like(folder, name+".partial-*")
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// setAside gives damaged checkpoints another name, so that they neither count as kept nor are met again.
func setAside(damaged []*DamagedError) error {
	for _, d := range damaged {
		if err := os.Rename(d.Path, d.Path+".damaged"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot set a damaged checkpoint aside: %w", err)
		}
	}
	return nil
}
