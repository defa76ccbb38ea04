package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/strict"
)

// maxFile is the most that is written of a file whose size nobody tells: the largest in the table has 575 MB.
const maxFile = 2 << 30

// Options say where a download goes and who hears of it. The zero value is the cache, in silence.
type Options struct {
	// Dir is the folder to download to, made if need be; empty means CacheDir.
	Dir string
	// Progress hears how many bytes there are, of how many; total is 0 while it is not known. It is called from one
	// goroutine and should return soon.
	Progress func(done, total int64)
	// Notice hears in a sentence of what goes on: a retry, a fresh start, another process that is waited for.
	Notice func(string)
}

// puller is one download. Its fields stand in for the world in tests.
type puller struct {
	Options
	client   *http.Client
	sleep    func(context.Context, time.Duration) error
	newTimer func(time.Duration, func()) timer
	output   func(io.Writer) io.Writer // what bytes pass on their way to the disk
}

// timer is what is used of *time.Timer.
type timer interface {
	Reset(time.Duration) bool
	Stop() bool
}

func newPuller(o Options) *puller {
	return &puller{
		Options: o,
		client:  newClient(),
		sleep: func(ctx context.Context, d time.Duration) error {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		newTimer: func(d time.Duration, f func()) timer { return time.AfterFunc(d, f) },
		output:   func(w io.Writer) io.Writer { return w },
	}
}

func (p *puller) notice(text string) {
	if p.Notice != nil {
		p.Notice(text)
	}
}

// Pull downloads an entry's file, unless it is there, and returns its path. The file stands under that name only once
// all its bytes are on the disk and agree with what was published (Entry.Trust tells what that is); its SHA-256 is
// written beside it.
//
// What has arrived is kept as NAME.partial, when ctx ends too, and the next call goes on from there if the server still
// has the same file. Faults that may pass are retried, a few times for each stretch of progress. Proxies are taken from
// the environment (HTTPS_PROXY, NO_PROXY). Calls for the same file in the same folder, from other processes too, take
// turns.
func Pull(ctx context.Context, e Entry, o Options) (path string, err error) {
	return newPuller(o).pull(ctx, e)
}

func (p *puller) pull(ctx context.Context, e Entry) (string, error) {
	if e.File == "" || e.File != filepath.Base(e.File) {
		return "", fmt.Errorf("%s: %q is no file name", e.Name, e.File)
	}
	dir := p.Dir
	if dir == "" {
		var err error
		if dir, err = CacheDir(); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, e.File)
	unlock, err := p.lock(ctx, filepath.Join(dir, "."+e.File+".lock"))
	if err != nil {
		return "", fmt.Errorf("%s: %w", e.Name, err)
	}
	defer unlock()
	if there, err := exists(path); err != nil {
		return "", err
	} else if there {
		if err := p.recheck(ctx, e, path); err != nil {
			return "", err
		}
		return path, nil
	}
	if err := p.resolve(ctx, &e); err != nil {
		return "", fmt.Errorf("%s: %w", e.Name, err)
	}
	if err := p.download(ctx, e, path); err != nil {
		return "", fmt.Errorf("%s: %w", e.Name, err)
	}
	return path, nil
}

// recheck holds a file that is there against what was published, or against the record of its own download where
// nothing was.
func (p *puller) recheck(ctx context.Context, e Entry, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", path)
	}
	if !e.Size.Value.holds(info.Size()) {
		return &mismatchError{Path: path, Reason: fmt.Sprintf("it has %d bytes, not %s", info.Size(), e.Size.Value)}
	}
	want := e.Checksum.Value
	if want == "" {
		if recorded := Recorded(path); recorded != "" {
			want = Checksum("sha256:" + recorded)
		}
	}
	got, err := sum(ctx, path)
	if err != nil {
		return err
	}
	if err := got.check(want); err != nil {
		return &mismatchError{Path: path, Reason: err.Error()}
	}
	return p.keepRecord(path, got)
}

// keepRecord writes the SHA-256 beside a file, unless it stands there.
func (p *puller) keepRecord(path string, got sums) error {
	if Recorded(path) == got["sha256"] {
		return nil
	}
	return durable.WriteBytes(record(path), []byte(got["sha256"]+"  "+filepath.Base(path)+"\n"))
}

// mismatchError is a file that is not the one which was published. Path is empty for one that was just downloaded, of
// which nothing is kept.
type mismatchError struct {
	Path   string
	Reason string
}

func (e *mismatchError) Error() string {
	if e.Path == "" {
		return "what was downloaded is not the published file: " + e.Reason
	}
	return e.Path + " is not the published file: " + e.Reason
}

// resolve reads the Git LFS pointer of an entry that has one, for its checksum and size.
func (p *puller) resolve(ctx context.Context, e *Entry) error {
	if e.Checksum.Value != "" || e.Pointer == "" {
		return nil
	}
	var text []byte
	err := p.retry(ctx, func() (bool, error) {
		return false, p.get(ctx, e.Pointer, nil, func(r *http.Response, arrived func(int)) (err error) {
			if r.StatusCode != http.StatusOK {
				return statusError(r)
			}
			text, err = io.ReadAll(io.LimitReader(r.Body, maxPointer+1))
			return interrupted(err)
		})
	})
	if err != nil {
		return fmt.Errorf("its Git LFS pointer: %w", err)
	}
	checksum, size, err := parsePointer(text)
	if err != nil {
		return fmt.Errorf("its Git LFS pointer: %w", err)
	}
	if !e.Size.Value.holds(size) {
		return fmt.Errorf("its Git LFS pointer tells %d bytes, its publisher's page %s", size, e.Size.Value)
	}
	e.Checksum = Cited[Checksum]{checksum, e.Pointer}
	e.Size = Cited[Size]{exactly(size), e.Pointer}
	return nil
}

// state is what is kept beside a partial file, so that no bytes of two files are ever joined.
type state struct {
	URL       string `json:"url"`
	Validator string `json:"validator"` // the server's ETag or date, for If-Range; empty forbids going on
	Total     int64  `json:"total"`     // bytes of the whole file; 0 where it is not told
}

// download fills a partial file and, once it is right, gives it its name.
func (p *puller) download(ctx context.Context, e Entry, path string) error {
	part := &partial{puller: p, entry: e, path: path + ".partial"}
	resumed, err := part.open()
	if err != nil {
		return err
	}
	defer part.close()
	for {
		if err := p.retry(ctx, func() (bool, error) { return part.fetch(ctx) }); err != nil {
			return part.explain(ctx, err)
		}
		if err := part.file.Sync(); err != nil {
			return part.explain(ctx, err)
		}
		got, err := sum(ctx, part.path)
		if err != nil {
			return part.explain(ctx, err)
		}
		err = got.check(e.Checksum.Value)
		if err == nil {
			return part.finish(path, got)
		}
		if discard := part.discard(); discard != nil {
			return discard
		}
		// Bytes of an earlier run may have been spoilt since. What came in one piece was sent like that.
		if !resumed {
			return &mismatchError{Reason: err.Error()}
		}
		resumed = false
		p.notice("the file that was begun earlier is spoilt (" + err.Error() + "): beginning again")
		if part.file, err = openPartial(part.path); err != nil {
			return err
		}
	}
}

// partial is a file that is not whole yet.
type partial struct {
	*puller
	entry Entry
	path  string
	file  *os.File
	have  int64 // bytes in the file
	most  int64 // that there ever were
	state state
}

func openPartial(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
}

// open opens a partial file; resumed tells whether it holds bytes of an earlier run that can be gone on from.
func (d *partial) open() (resumed bool, err error) {
	if d.file, err = openPartial(d.path); err != nil {
		return false, err
	}
	info, err := d.file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		d.close()
		return false, errors.Join(err, fmt.Errorf("%s is no file that can be gone on with", d.path))
	}
	text, err := readSmall(d.statePath(), 64<<10)
	if err == nil {
		err = strict.Unmarshal(text, &d.state)
	}
	d.have = info.Size()
	fits := d.have <= d.limit() && (d.state.Total == 0 || d.have <= d.state.Total &&
		d.entry.Size.Value.holds(d.state.Total))
	if err != nil || d.state.URL != d.entry.URL.Value || d.state.Validator == "" || d.state.Total < 0 || !fits {
		if err := d.restart(state{}); err != nil {
			return false, errors.Join(err, d.discard())
		}
		return false, nil
	}
	d.most = d.have
	return d.have > 0, nil
}

func (d *partial) statePath() string { return d.path + ".json" }

func (d *partial) close() {
	if d.file != nil {
		d.file.Close()
		d.file = nil
	}
}

// discard removes the partial file and its state.
func (d *partial) discard() error {
	d.close()
	d.have, d.most, d.state = 0, 0, state{}
	for _, path := range []string{d.statePath(), d.path} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// restart empties the partial file, then keeps the new state: in that order, so that no state ever stands beside bytes
// that it does not speak of.
func (d *partial) restart(s state) error {
	if err := d.file.Truncate(0); err != nil {
		return err
	}
	d.have, d.state = 0, s
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return durable.WriteBytes(d.statePath(), text)
}

// again forgets what has arrived, for a reason that another try may not meet.
func (d *partial) again(reason string) error {
	if err := d.restart(state{}); err != nil {
		return err
	}
	return &transientError{err: errors.New(reason)}
}

// limit is the most bytes that may ever be written.
func (d *partial) limit() int64 {
	if d.entry.Size.Value != (Size{}) {
		return d.entry.Size.Value.High
	}
	return maxFile
}

// finish gives the file its name. Its record comes first: without the file it misleads nobody.
func (d *partial) finish(path string, got sums) error {
	d.close()
	if err := d.keepRecord(path, got); err != nil {
		return err
	}
	if err := os.Rename(d.path, path); err != nil {
		return err
	}
	syncFolder(filepath.Dir(path))
	if err := os.Remove(d.statePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// explain says what became of the bytes that have arrived, and removes those that cannot be gone on from.
func (d *partial) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if durable.Full(err) {
		err = fmt.Errorf("the disk is full: %w", err)
	}
	have, total := d.have, d.state.Total
	if have == 0 || d.state.Validator == "" {
		return errors.Join(err, d.discard())
	}
	return &InterruptedError{Have: have, Total: total, err: err}
}

// InterruptedError is a download that broke off with something to go on from.
type InterruptedError struct {
	Have, Total int64 // bytes; Total is 0 where it is not known
	err         error
}

func (e *InterruptedError) Error() string {
	if e.Total == 0 {
		return fmt.Sprintf("broke off after %s: %v", amount(e.Have), e.err)
	}
	return fmt.Sprintf("broke off after %s of %s: %v", amount(e.Have), amount(e.Total), e.err)
}

func (e *InterruptedError) Unwrap() error { return e.err }

// amount is a number of bytes in words.
func amount(bytes int64) string {
	if bytes < 1e6 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return exactly(bytes).String()
}

// fetch asks once for what is missing. Progress tells whether it brought enough to have earned further tries.
func (d *partial) fetch(ctx context.Context) (progress bool, err error) {
	if d.state.Total > 0 && d.have == d.state.Total {
		return true, nil // all was there before the check or the rename
	}
	if d.have > 0 && d.state.Validator == "" { // nothing would tell another file from the one that was begun
		if err := d.restart(state{}); err != nil {
			return false, err
		}
	}
	header := http.Header{}
	if d.have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.have))
		header.Set("If-Range", d.state.Validator)
	}
	err = d.get(ctx, d.entry.URL.Value, header, d.receive)
	if d.have-d.most >= worthwhile {
		d.most, progress = d.have, true
	}
	return progress, err
}

// receive takes an answer to fetch's request.
func (d *partial) receive(r *http.Response, arrived func(int)) error {
	switch r.StatusCode {
	case http.StatusOK: // the whole file: the first time, or because it has changed, or because the server knows no ranges
		if d.have > 0 {
			d.notice("the server sends the file from its beginning")
		}
		total, err := d.total(r, r.ContentLength)
		if err != nil {
			return err
		}
		if err := d.restart(state{d.entry.URL.Value, validator(r.Header), total}); err != nil {
			return err
		}
	case http.StatusPartialContent:
		first, total, err := parseContentRange(r.Header.Get("Content-Range"))
		if err == nil && d.have == 0 {
			err = errors.New("the server sends a part of the file, and was asked for the whole")
		}
		if err != nil {
			return err
		}
		changed := validator(r.Header)
		if first != d.have || changed != "" && changed != d.state.Validator || d.state.Total > 0 && total > 0 &&
			total != d.state.Total {
			return d.again("the server goes on with another place or another file")
		}
		if d.state.Total == 0 && total > 0 {
			if !d.entry.Size.Value.holds(total) {
				return d.again(fmt.Sprintf("the server speaks of %d bytes, and the file has %s", total, d.entry.Size.Value))
			}
			d.state.Total = total
		}
	case http.StatusRequestedRangeNotSatisfiable:
		return d.again("the file has become shorter")
	default:
		return statusError(r)
	}
	return d.copy(r.Body, arrived)
}

// total is the length of a whole file by an answer of status 200, refused where it is not the published one; 0 where
// the answer does not tell it.
func (d *partial) total(r *http.Response, length int64) (int64, error) {
	if length < 0 {
		// Chunks mark their end. A connection that just closes does not, and where nothing else tells the whole from its
		// beginning a cut would pass for the file.
		if len(r.TransferEncoding) == 0 && r.ProtoMajor < 2 && d.entry.Checksum.Value == "" {
			return 0, errors.New("the server does not tell the file's length, and no checksum is published that could")
		}
		return 0, nil
	}
	if !d.entry.Size.Value.holds(length) {
		want := "at most " + amount(d.limit())
		if d.entry.Size.Value != (Size{}) {
			want = d.entry.Size.Value.String()
		}
		page := ""
		if strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			page = "; it is a web page, perhaps of a network that wants a login"
		}
		return 0, fmt.Errorf("the server offers %d bytes, and the file has %s: nothing was downloaded%s", length, want, page)
	}
	return length, nil
}

// copy writes a body to the end of the partial file, never beyond its limit.
func (d *partial) copy(body io.Reader, arrived func(int)) error {
	if _, err := d.file.Seek(d.have, io.SeekStart); err != nil {
		return err
	}
	limit := d.limit()
	if d.state.Total > 0 {
		limit = d.state.Total
	}
	out := d.output(d.file)
	block := make([]byte, 256<<10)
	for {
		n, err := body.Read(block)
		if n > 0 {
			arrived(n)
			if d.have+int64(n) > limit {
				return errors.Join(fmt.Errorf("the server sends more than the %d bytes that the file may have: nothing is kept",
					limit), d.restart(state{}))
			}
			written, fault := out.Write(block[:n])
			d.have += int64(written)
			if fault != nil {
				return fault
			}
			if d.Progress != nil {
				d.Progress(d.have, d.state.Total)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return d.ended()
		case err != nil:
			return interrupted(err)
		}
	}
}

// ended judges a body that came to its end.
func (d *partial) ended() error {
	switch {
	case d.state.Total > 0 && d.have < d.state.Total:
		return interrupted(io.ErrUnexpectedEOF)
	case d.state.Total == 0 && !d.entry.Size.Value.holds(d.have):
		return d.again(fmt.Sprintf("the server sent %d bytes, and the file has %s", d.have, d.entry.Size.Value))
	}
	return nil
}
