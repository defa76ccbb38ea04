package hub

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vggo/vggo/internal/lock"
)

// cacheEnv names the environment variable that moves the cache: models lie in models below the folder it names.
const cacheEnv = "VGGO_CACHE"

// CacheDir is the folder that downloads go to: models below the folder that VGGO_CACHE names, else vggo/models where
// the system keeps a user's caches. It need not exist.
func CacheDir() (string, error) {
	if dir := os.Getenv(cacheEnv); dir != "" {
		return filepath.Join(dir, "models"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w (%s names one)", err, cacheEnv)
	}
	return filepath.Join(dir, "vggo", "models"), nil
}

// Path is where the cache has an entry's file; ok is false where it has none. Only files that passed their check stand
// there under that name, so Path looks at the size and reads nothing.
func Path(e Entry) (path string, ok bool) {
	dir, err := CacheDir()
	if err != nil {
		return "", false
	}
	path = filepath.Join(dir, e.File)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || !e.Size.Value.holds(info.Size()) {
		return "", false
	}
	return path, true
}

// sums are the checksums of a file's bytes, by algorithm.
type sums map[string]string

// sum reads a file through and gives its checksums: all in one go, since md5 costs little beside reading.
func sum(ctx context.Context, path string) (sums, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	hashes := map[string]hash.Hash{"sha256": sha256.New(), "md5": md5.New()}
	block := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := f.Read(block)
		for _, h := range hashes {
			h.Write(block[:n])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	s := sums{}
	for name, h := range hashes {
		s[name] = hex.EncodeToString(h.Sum(nil))
	}
	return s, nil
}

// check compares with what was published. An empty checksum fits everything.
func (s sums) check(want Checksum) error {
	if want == "" {
		return nil
	}
	algorithm, digits, whole, err := want.split()
	if err != nil {
		return err
	}
	got := s[algorithm]
	switch {
	case strings.HasPrefix(got, digits):
		return nil
	case whole:
		return fmt.Errorf("its %s is %s, not %s", strings.ToUpper(algorithm), got, digits)
	}
	return fmt.Errorf("its %s begins with %s, not with %s", strings.ToUpper(algorithm), got[:len(digits)], digits)
}

// record is the file beside a download that keeps its SHA-256, in sha256sum's format.
func record(path string) string { return path + ".sha256" }

// Recorded is the SHA-256 that Pull found a file to have, from the record beside it; empty where there is none.
func Recorded(path string) string {
	text, err := readSmall(record(path), 4<<10)
	if err != nil {
		return ""
	}
	digits, name, ok := strings.Cut(strings.TrimRight(string(text), "\r\n"), "  ")
	if _, _, whole, err := Checksum("sha256:" + digits).split(); !ok || err != nil || !whole ||
		name != filepath.Base(path) {
		return ""
	}
	return digits
}

// readSmall reads a file of at most limit bytes.
func readSmall(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return text, err
}

// syncFolder brings a folder's names to the disk. Not every system lets a folder be opened or synced; there the files
// are whole all the same.
func syncFolder(dir string) {
	if f, err := os.Open(dir); err == nil {
		_ = f.Sync()
		f.Close()
	}
}

// lockPoll is how often a lock that another process holds is tried again.
const lockPoll = time.Second

// lock keeps other processes, and other calls in this one, from downloading the same file into the same folder.
func (p *puller) lock(ctx context.Context, path string) (unlock func(), err error) {
	for told := false; ; {
		unlock, err := lock.Take(path)
		if !errors.Is(err, lock.ErrHeld) {
			return unlock, err
		}
		if !told {
			p.notice("another vggo is downloading this file: waiting for it")
			told = true
		}
		if err := p.sleep(ctx, lockPoll); err != nil {
			return nil, err
		}
	}
}

// exists tells whether something stands under a name.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
