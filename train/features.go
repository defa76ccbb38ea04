package train

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/vggo/vggo/internal/durable"
	"github.com/vggo/vggo/internal/plainfile"
	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/vision"
)

// featuresFolder is the folder, in a run's, of what the frozen layers make of its pictures. It goes when the run is
// finished.
const featuresFolder = "features"

// features keeps what the frozen layers make of pictures, on the disk: records of one length in files that are
// written whole. A record is known by its picture, not by its number: pictures that have changed are computed again.
// Each has a checksum. Whatever goes wrong, a record that is not found is computed.
type features struct {
	folder string
	key    featuresKey
	floats int   // of a record
	limit  int64 // bytes of all files
	chunk  int   // bytes of a file, about
	flip   func(epoch, sample int) bool

	mu      sync.Mutex
	places  map[featureID]place
	ids     map[int]pictureID // of samples that have been seen
	files   []*os.File
	next    int // number of the next file
	bytes   int64
	buffer  []byte // records that are yet to be written
	waiting []featureID
	off     bool // nothing is added any more
	said    map[string]bool
	news    []string // to be told
}

// featuresKey is a digest of everything that a record depends on but its picture.
type featuresKey [sha256.Size]byte

// pictureID is a digest of a prepared picture.
type pictureID [16]byte

// featureID is a picture, as it is or mirrored.
type featureID struct {
	pictureID
	flipped bool
}

// place is where a record is. A file of -1 is the buffer.
type place struct{ file, record int }

const (
	featuresMagic  = "vggo features 1\n"
	featuresEnding = ".features"
	// header: magic, key, floats of a record
	featuresHeader = len(featuresMagic) + sha256.Size + 8
	// a record before its values: picture, mirrored or not, three zeros, CRC-32C of these and the values
	recordHeader = 16 + 4 + 4
	// featuresChunk is about how large a file is, and so what a killed run loses, and what memory holds.
	featuresChunk = 32 << 20
)

func (f *features) recordBytes() int { return recordHeader + 4*f.floats }

// idOf is a prepared picture's.
func idOf(p *vision.Picture) (id pictureID) {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %d:", p.W, p.H, p.Channels)
	h.Write(p.Pix)
	copy(id[:], h.Sum(nil))
	return id
}

// openFeatures finds what a run has kept in its folder before. Files that are damaged, or of something else, are left
// out, which is news.
func openFeatures(folder string, key featuresKey, floats int, limit int64,
	flip func(epoch, sample int) bool) *features {
	f := &features{folder: folder, key: key, floats: floats, limit: limit, flip: flip,
		places: map[featureID]place{}, ids: map[int]pictureID{}, said: map[string]bool{}}
	for _, path := range f.paths("*") {
		if err := f.take(path); err != nil {
			f.say("%s is left out: %v; what it kept is computed again", path, err)
		}
	}
	for _, path := range f.paths(f.prefix() + "*") { // damaged ones too: their names are taken
		var n int
		if _, err := fmt.Sscanf(filepath.Base(path), f.prefix()+"%d", &n); err == nil {
			f.next = max(f.next, n+1)
		}
	}
	return f
}

// prefix is what the names of this key's files begin with.
func (f *features) prefix() string { return fmt.Sprintf("%x-", f.key[:4]) }

// paths are the files of a pattern, in order.
func (f *features) paths(pattern string) []string {
	list, _ := plainfile.Like(f.folder, pattern+featuresEnding)
	return list
}

// say tells news of one kind once. f.mu is held, or nobody else knows f.
func (f *features) say(format string, args ...any) {
	if !f.said[format] {
		f.said[format] = true
		f.news = append(f.news, fmt.Sprintf(format, args...))
	}
}

// told takes the news.
func (f *features) told() []string {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	news := f.news
	f.news = nil
	return news
}

// take finds the records of a file.
func (f *features) take(path string) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := make([]byte, featuresHeader)
	if _, err := io.ReadFull(file, header); err != nil || string(header[:len(featuresMagic)]) != featuresMagic {
		return errors.New("it is no file of features")
	}
	key := header[len(featuresMagic):][:sha256.Size]
	floats := binary.LittleEndian.Uint64(header[len(featuresMagic)+sha256.Size:])
	if string(key) != string(f.key[:]) || floats != uint64(f.floats) {
		return errors.New("it is of other weights, another preparation or another machine")
	}
	size, record := info.Size()-int64(featuresHeader), int64(f.recordBytes())
	if size%record != 0 {
		return errors.Join(errors.New("it is damaged: its length is another"), os.Remove(path))
	}
	f.files = append(f.files, file)
	f.bytes += info.Size()
	var id [recordHeader]byte
	for n := range int(size / record) {
		if _, err := file.ReadAt(id[:], f.offset(n)); err != nil {
			return err
		}
		f.places[readID(id[:])] = place{len(f.files) - 1, n}
	}
	return nil
}

func readID(record []byte) (id featureID) {
	copy(id.pictureID[:], record)
	id.flipped = record[len(id.pictureID)] == 1
	return id
}

func (f *features) offset(record int) int64 {
	return int64(featuresHeader) + int64(record)*int64(f.recordBytes())
}

// known puts the record of a sample whose picture has been seen into dst, as the sample is shown in an epoch, and
// reports whether there is one.
func (f *features) known(epoch, sample int, dst []float32) bool {
	f.mu.Lock()
	id, seen := f.ids[sample]
	f.mu.Unlock()
	return seen && f.read(featureID{id, f.flip(epoch, sample)}, dst)
}

// find is known for a sample's picture, which it remembers.
func (f *features) find(epoch, sample int, p *vision.Picture, dst []float32) bool {
	id := idOf(p)
	f.mu.Lock()
	f.ids[sample] = id
	f.mu.Unlock()
	return f.read(featureID{id, f.flip(epoch, sample)}, dst)
}

// read puts a record into dst and reports whether there is one.
func (f *features) read(id featureID, dst []float32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.places[id]
	if !ok {
		return false
	}
	var record []byte
	if at.file < 0 {
		record = f.buffer[at.record*f.recordBytes():][:f.recordBytes()]
	} else {
		record = make([]byte, f.recordBytes())
		file, offset := f.files[at.file], f.offset(at.record)
		f.mu.Unlock()
		_, err := file.ReadAt(record, offset)
		f.mu.Lock()
		if err == nil && (readID(record) != id || sumOf(record) != binary.LittleEndian.Uint32(record[recordHeader-4:])) {
			err = errSum
		}
		if err != nil {
			delete(f.places, id)
			f.say("%s is damaged: %v; what it kept is computed again", file.Name(), err)
			return false
		}
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(record[recordHeader+4*i:]))
	}
	return true
}

// sumOf is a record's checksum.
func sumOf(record []byte) uint32 {
	return crc32.Update(crc32.Checksum(record[:recordHeader-4], castagnoli), castagnoli, record[recordHeader:])
}

// add keeps what the frozen layers have made of a sample, as it was shown in an epoch.
func (f *features) add(epoch, sample int, values []float32) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id := featureID{f.ids[sample], f.flip(epoch, sample)}
	if _, ok := f.places[id]; ok || f.off {
		return
	}
	size := int64(f.recordBytes())
	if len(f.buffer) == 0 {
		size += int64(featuresHeader)
	}
	if f.bytes+size > f.limit {
		f.off = true
		f.say("features: the %s that may be kept are full: those of other pictures are computed in each epoch",
			printable.Bytes(f.limit))
		return
	}
	f.bytes += size
	f.places[id] = place{-1, len(f.waiting)}
	f.waiting = append(f.waiting, id)
	at := len(f.buffer)
	f.buffer = append(f.buffer, id.pictureID[:]...)
	f.buffer = append(f.buffer, make([]byte, recordHeader-len(id.pictureID))...)
	if id.flipped {
		f.buffer[at+len(id.pictureID)] = 1
	}
	for _, v := range values {
		f.buffer = binary.LittleEndian.AppendUint32(f.buffer, math.Float32bits(v))
	}
	binary.LittleEndian.PutUint32(f.buffer[at+recordHeader-4:], sumOf(f.buffer[at:]))
	if len(f.buffer) >= f.chunk {
		f.flush()
	}
}

// flush brings what is waiting to the disk. Where that fails nothing more is kept. f.mu is held.
func (f *features) flush() {
	if len(f.waiting) == 0 {
		return
	}
	path := filepath.Join(f.folder, fmt.Sprintf("%s%06d%s", f.prefix(), f.next, featuresEnding))
	err := os.MkdirAll(f.folder, 0o777)
	if err == nil {
		err = durable.Write(path, func(w io.Writer) error {
			header := append([]byte(featuresMagic), f.key[:]...)
			_, err := w.Write(binary.LittleEndian.AppendUint64(header, uint64(f.floats)))
			if err == nil {
				_, err = w.Write(f.buffer)
			}
			return err
		})
	}
	var file *os.File
	if err == nil {
		file, err = os.Open(path)
	}
	if err != nil {
		f.off = true
		for _, id := range f.waiting {
			delete(f.places, id)
		}
		f.say("features cannot be kept: %v; those of other pictures are computed in each epoch", err)
	} else {
		f.files = append(f.files, file)
		f.next++
		for n, id := range f.waiting {
			f.places[id] = place{len(f.files) - 1, n}
		}
	}
	f.waiting, f.buffer = f.waiting[:0], f.buffer[:0]
}

// close brings what is waiting to the disk and lets the files go. It may be called again.
func (f *features) close() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.flush()
	f.off = true
	clear(f.places)
	for _, file := range f.files {
		file.Close()
	}
	f.files = nil
}

// removeFeatures removes what a run has kept, of which it has no more use, and the folder if nothing else is in it.
func removeFeatures(folder string) error {
	list, err := plainfile.Like(folder, "*"+featuresEnding+"*")
	if err != nil {
		return err
	}
	for _, path := range list {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	_ = os.Remove(folder)
	return nil
}
