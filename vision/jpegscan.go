package vision

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// unzigzag is where in a block's 8 rows of 8 the coefficients lie that a JPEG stores from low frequencies to high
// (T.81, figure A.6). Broken runs of zeros may lead up to 15 beyond the last: those fall on it.
var unzigzag = [64 + 16]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
	63, 63, 63, 63, 63, 63, 63, 63,
}

const lookupBits = 9 // most codes are no longer

// huffman is a Huffman table. A code of up to 16 bits is looked up as the first of 16 bits.
type huffman struct {
	short  [1 << lookupBits]uint16 // length<<8 | symbol of a code that is no longer; 0 for others
	end    [17]uint32              // by length: the first 16 bits that are no code of this length nor of a shorter one
	first  [17]int32               // by length: what to add to a code for the index of its symbol
	symbol [256]uint8
}

// newHuffman reads a table: the number of codes of each length from 1 to 16, then their symbols. rest is what follows.
func newHuffman(table []byte) (h *huffman, rest []byte, err error) {
	const lengths = 16
	if len(table) < lengths {
		return nil, nil, errors.New("a Huffman table is too short")
	}
	counts, symbols := table[:lengths], table[lengths:]
	h = new(huffman)
	code, n := uint32(0), 0
	for i, count := range counts {
		length := i + 1
		if n+int(count) > min(len(symbols), len(h.symbol)) || code+uint32(count) > 1<<length {
			return nil, nil, errors.New("a Huffman table is broken")
		}
		h.first[length] = int32(n) - int32(code)
		for range count {
			h.symbol[n] = symbols[n]
			if length <= lookupBits {
				same := h.short[code<<(lookupBits-length):][:1<<(lookupBits-length)]
				for j := range same {
					same[j] = uint16(length)<<8 | uint16(symbols[n])
				}
			}
			code++
			n++
		}
		h.end[length] = code << (lengths - length)
		code <<= 1
	}
	return h, symbols[n:], nil
}

// bitReader reads coded data, in which 0xff is followed by 0, up to the next marker. Beyond it there are zeros, which
// are counted: whoever has read some is told by check.
type bitReader struct {
	data   []byte
	at     int    // of the next byte to take
	bits   uint64 // the last n are unread
	n      uint
	zeros  uint // so many of the last bits were never in the file
	broken bool // what was read is no code
}

// fill makes sure that 48 bits can be read.
func (r *bitReader) fill() {
	for r.n < 48 {
		if r.at+4 <= len(r.data) && r.n <= 32 {
			if four := binary.BigEndian.Uint32(r.data[r.at:]); !hasFF(four) {
				r.bits = r.bits<<32 | uint64(four)
				r.n += 32
				r.at += 4
				continue
			}
		}
		next := uint64(0)
		switch {
		case r.at < len(r.data) && r.data[r.at] != 0xff:
			next = uint64(r.data[r.at])
			r.at++
		case r.at+1 < len(r.data) && r.data[r.at+1] == 0:
			next = 0xff
			r.at += 2
		default:
			r.zeros += 8
		}
		r.bits = r.bits<<8 | next
		r.n += 8
	}
}

// hasFF reports whether one of four bytes is 0xff.
func hasFF(four uint32) bool { return (^four-0x01010101)&four&0x80808080 != 0 }

// check reports whether more was read than there is, or what means nothing.
func (r *bitReader) check() error {
	switch {
	case r.n < r.zeros && r.at+1 < len(r.data):
		return errors.New("a scan's data end before its picture does")
	case r.n < r.zeros:
		return io.ErrUnexpectedEOF
	case r.broken:
		return errors.New("its data are no codes of its Huffman table")
	}
	return nil
}

// take reads k bits, 1 to 16.
func (r *bitReader) take(k uint) int32 {
	r.n -= k
	return int32(r.bits>>r.n) & (1<<k - 1)
}

func (r *bitReader) bit() bool {
	if r.n == 0 {
		r.fill()
	}
	r.n--
	return r.bits>>r.n&1 != 0
}

// signed reads a number of so many bits, 1 to 15: the lower half of their values are negative (T.81, F.2.2.1).
func (r *bitReader) signed(k uint) int32 {
	v := r.take(k)
	if v < 1<<(k-1) {
		v += -1<<k + 1
	}
	return v
}

// decode reads a code, 16 bits of which must be there. What is no code is symbol 0, and noticed.
func (r *bitReader) decode(h *huffman) uint8 {
	ahead := uint32(r.bits>>(r.n-16)) & 0xffff
	if entry := h.short[ahead>>(16-lookupBits)]; entry != 0 {
		r.n -= uint(entry >> 8)
		return uint8(entry)
	}
	for length := lookupBits + 1; length <= 16; length++ {
		if ahead < h.end[length] {
			r.n -= uint(length)
			return h.symbol[uint8(int32(ahead>>(16-length))+h.first[length])]
		}
	}
	r.n -= 16
	r.broken = true
	return 0
}

// restart goes on behind the restart marker of this number, from 0 to 7. What was not read before it is passed over.
func (r *bitReader) restart(number int) error {
	for ; r.at+1 < len(r.data); r.at++ {
		if kind := r.data[r.at+1]; r.data[r.at] == 0xff && kind != 0 && kind != 0xff {
			if kind != firstRestart+uint8(number) {
				return fmt.Errorf("restart marker %d is missing", number)
			}
			*r = bitReader{data: r.data, at: r.at + 2}
			return nil
		}
	}
	return io.ErrUnexpectedEOF
}

// jpegScan is one pass over some of a picture's planes.
type jpegScan struct {
	bitReader
	planes      []*jpegPlane
	dc, ac      [maxPlanes]*huffman // of planes[i]
	before      [maxPlanes]int32    // the value that planes[i]'s next one is told from
	progressive bool
	first, last int // coefficients in a progressive scan, in the order of the file
	refine      bool
	shift       uint // bits that come in later scans
	skip        int  // blocks without anything more in this scan
}

// run decodes the scan. restarts is the number of units between two restart markers, 0 for none.
func (s *jpegScan) run(ctx context.Context, f *jpegFrame, restarts int) error {
	across, down := f.unitsAcross, f.unitsDown
	alone := len(s.planes) == 1
	if alone { // then a unit is a block, and none is only padding
		across, down = ceil(s.planes[0].w, 8), ceil(s.planes[0].h, 8)
	}
	left := restarts
	number := 0
	for y := range down {
		if err := ctx.Err(); err != nil {
			return err
		}
		for x := range across {
			if restarts > 0 && left == 0 {
				if err := s.restart(number); err != nil {
					return err
				}
				number, left = (number+1)%8, restarts
				s.before, s.skip = [maxPlanes]int32{}, 0
			}
			left--
			if alone {
				s.block(0, x, y)
				continue
			}
			for i, p := range s.planes {
				for v := range p.uy {
					for h := range p.ux {
						s.block(i, x*p.ux+h, y*p.uy+v)
					}
				}
			}
		}
		if err := s.check(); err != nil {
			return err
		}
	}
	return nil
}

// block decodes a block of planes[i], or the part of it that this scan brings.
func (s *jpegScan) block(i, x, y int) {
	p := s.planes[i]
	if !s.progressive {
		var b block
		s.sequential(&b, i)
		p.inverse(&b, x, y)
		return
	}
	b := &p.blocks[y*p.across+x]
	switch {
	case s.first == 0 && s.refine:
		if s.bit() {
			b[0] |= 1 << s.shift
		}
	case s.first == 0:
		s.fill()
		b[0] = int16(s.nextDC(i) << s.shift)
	case s.refine:
		s.refineAC(b, s.ac[i])
	default:
		s.firstAC(b, s.ac[i])
	}
}

// nextDC reads a block's first coefficient, which is told as its distance from the block's before. 48 bits must be
// there.
func (s *jpegScan) nextDC(i int) int32 {
	if size := s.decode(s.dc[i]) & 15; size > 0 {
		s.before[i] += s.signed(uint(size))
	}
	return s.before[i]
}

// sequential decodes a whole block (T.81, F.2.2).
func (s *jpegScan) sequential(b *block, i int) {
	s.fill()
	b[0] = int16(s.nextDC(i))
	ac := s.ac[i]
	for k := 1; k < 64; k++ {
		if s.n < 32 {
			s.fill()
		}
		symbol := s.decode(ac)
		zeros, size := int(symbol>>4), uint(symbol&15)
		if size == 0 {
			if zeros < 15 {
				return // nothing more
			}
			k += 15
			continue
		}
		k += zeros
		b[unzigzag[k]] = int16(s.signed(size))
	}
}

// firstAC decodes the upper bits of some coefficients (T.81, G.1.2.2).
func (s *jpegScan) firstAC(b *block, h *huffman) {
	if s.skip > 0 {
		s.skip--
		return
	}
	for k := s.first; k <= s.last; k++ {
		if s.n < 32 {
			s.fill()
		}
		symbol := s.decode(h)
		zeros, size := int(symbol>>4), uint(symbol&15)
		switch {
		case size > 0:
			k += zeros
			b[unzigzag[k]] = int16(s.signed(size) << s.shift)
		case zeros == 15:
			k += 15
		default:
			s.skip = s.blocksToSkip(zeros) - 1
			return
		}
	}
}

// blocksToSkip reads how many blocks have nothing more in this scan, this one included.
func (s *jpegScan) blocksToSkip(bits int) int {
	blocks := 1 << bits
	if bits > 0 {
		blocks += int(s.take(uint(bits)))
	}
	return blocks
}

// refineAC decodes one more bit of some coefficients (T.81, G.1.2.3).
func (s *jpegScan) refineAC(b *block, h *huffman) {
	one := int16(1) << s.shift
	k := s.first
	if s.skip == 0 {
		for ; k <= s.last; k++ {
			s.fill()
			symbol := s.decode(h)
			zeros, size := int(symbol>>4), symbol&15
			value := int16(0)
			if size > 0 { // it must be 1
				value = -one
				if s.bit() {
					value = one
				}
			} else if zeros < 15 {
				s.skip = s.blocksToSkip(zeros)
				break
			}
			k = s.refineSome(b, k, zeros, one)
			if value != 0 && k <= s.last {
				b[unzigzag[k]] = value
			}
		}
	}
	if s.skip > 0 {
		s.skip--
		s.refineSome(b, k, 64, one)
	}
}

// refineSome reads a bit for each coefficient from k that is not 0, until so many zeros have been passed and the next
// is found. It returns the place of that, or the one behind the last.
func (s *jpegScan) refineSome(b *block, k, zeros int, one int16) int {
	for ; k <= s.last; k++ {
		c := &b[unzigzag[k]]
		switch {
		case *c == 0 && zeros == 0:
			return k
		case *c == 0:
			zeros--
		case s.bit() && *c&one == 0: // where it is there, a scan came twice
			if *c > 0 {
				*c += one
			} else {
				*c -= one
			}
		}
	}
	return k
}
