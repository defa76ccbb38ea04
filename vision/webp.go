package vision

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"iter"

	"golang.org/x/image/webp"
)

// The first byte of a VP8X chunk tells what follows.
const (
	webpAnimated = 1 << 1
	webpExif     = 1 << 3
	webpAlpha    = 1 << 4
)

const riffHeader = 12 // "RIFF", a length, "WEBP"

// webpChunks yields a WebP file's chunks: a name, a length, content, padded to an even length.
func webpChunks(chunks []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for len(chunks) >= 8 {
			name, length := string(chunks[:4]), uint64(binary.LittleEndian.Uint32(chunks[4:]))
			chunks = chunks[8:]
			if length > uint64(len(chunks)) || !yield(name, chunks[:length]) {
				return
			}
			chunks = chunks[min(length+length%2, uint64(len(chunks))):]
		}
	}
}

func webpOrientation(file []byte) orientation {
	announced := false
	for name, content := range webpChunks(file[riffHeader:]) {
		switch {
		case name == "VP8X" && len(content) > 0:
			announced = content[0]&webpExif != 0
		case name == "EXIF" && announced:
			return tiffOrientation(bytes.TrimPrefix(content, []byte(exifHeader)))
		}
	}
	return upright
}

// decodeWebP decodes a WebP, of an animation the first frame on a black canvas. Colours are libwebp's; transparency is
// dropped.
func decodeWebP(in *source) (*Picture, error) {
	for name, content := range webpChunks(in.file[riffHeader:]) {
		if name == "VP8X" && len(content) >= 10 && content[0]&webpAnimated != 0 {
			return decodeFrame(in, image.Pt(1+uint24(content[4:]), 1+uint24(content[7:])))
		}
	}
	return decodeStill(in.open(in.file))
}

// decodeFrame decodes the first frame of an animation: a chunk ANMF that holds its place and size and the chunks of a
// still picture, which is what it is made into here.
func decodeFrame(in *source, canvas image.Point) (*Picture, error) {
	for name, content := range webpChunks(in.file[riffHeader:]) {
		const header = 16 // x/2, y/2, width-1, height-1, duration, 3 bytes each; flags
		if name != "ANMF" || len(content) < header {
			continue
		}
		at := image.Pt(2*uint24(content), 2*uint24(content[3:]))
		size := image.Pt(1+uint24(content[6:]), 1+uint24(content[9:]))
		if at.X+size.X > canvas.X || at.Y+size.Y > canvas.Y {
			return nil, errors.New("webp: a frame lies outside its canvas")
		}
		chunks := content[header:]
		head := [10]byte{4: content[6], content[7], content[8], content[9], content[10], content[11]} // of a VP8X chunk
		for name := range webpChunks(chunks) {
			if name == "ALPH" {
				head[0] = webpAlpha
			}
		}
		still := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(4+8+len(head)+len(chunks)))
		still = binary.LittleEndian.AppendUint32(append(still, "WEBPVP8X"...), uint32(len(head)))
		still = append(still, head[:]...)
		frame, err := decodeStill(io.MultiReader(in.open(still), in.open(chunks)))
		if err != nil || size == canvas {
			return frame, err
		}
		p := NewPicture(canvas.X, canvas.Y, frame.Channels)
		p.Transparent = frame.Transparent
		for y := range frame.H {
			copy(p.Pix[((at.Y+y)*p.W+at.X)*p.Channels:], frame.Pix[y*frame.W*p.Channels:][:frame.W*p.Channels])
		}
		return p, nil
	}
	return nil, errors.New("webp: an animation without a frame")
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

func decodeStill(r io.Reader) (*Picture, error) {
	decoded, err := webp.Decode(r)
	if err != nil {
		return nil, err
	}
	switch m := decoded.(type) {
	case *image.YCbCr:
		return fromVP8(m), nil
	case *image.NYCbCrA:
		p := fromVP8(&m.YCbCr)
		p.Transparent = !m.Opaque()
		return p, nil
	}
	return FromImage(decoded), nil
}

// fromVP8 converts VP8's samples to red, green and blue as libwebp does. They are of ITU-R 601's narrow range, luma
// from 16 to 235, where image.YCbCr's are JPEG's, and a halved chroma sample lies in the middle of four pixels: each
// takes nine parts of the nearest, three of the two next to it and one of the last (WebPUpsamplers,
// src/dsp/upsampling.c).
func fromVP8(m *image.YCbCr) *Picture {
	p := NewPicture(m.Rect.Dx(), m.Rect.Dy(), 3)
	w, h := (p.W+1)/2, (p.H+1)/2
	cb, cr := make([]uint8, 2*w), make([]uint8, 2*w)
	upsample := func(to, plane []uint8, y int) {
		line := func(i int) []uint8 { return plane[min(max(i, 0), h-1)*m.CStride:][:w] }
		near, far := line(y/2), line(y/2-1+y%2*2)
		for i := range to {
			// The neighbours along the row; beyond its ends a sample is its own.
			j := i / 2
			k := min(max(j-1+i%2*2, 0), w-1)
			a, b, c, d := int(near[j]), int(near[k]), int(far[j]), int(far[k])
			// (9a + 3b + 3c + d + 8)/16, but libwebp rounds down on the way.
			to[i] = uint8(((a+b+c+d+8+2*(b+c))>>3 + a) >> 1)
			if j == k {
				to[i] = uint8((3*a + c + 2) >> 2)
			}
		}
	}
	for y := range p.H {
		upsample(cb, m.Cb, y)
		upsample(cr, m.Cr, y)
		luma, to := m.Y[y*m.YStride:][:p.W], p.Pix[y*p.W*3:][:p.W*3]
		for x, v := range luma {
			// src/dsp/yuv.h: 14 bits of fraction, 8 of them dropped by the multiplication.
			c := 19077 * int32(v) >> 8
			b, r := int32(cb[x]), int32(cr[x])
			to[3*x] = clamp((c + 26149*r>>8 - 14234) >> 6)
			to[3*x+1] = clamp((c - 6419*b>>8 - 13320*r>>8 + 8708) >> 6)
			to[3*x+2] = clamp((c + 33050*b>>8 - 17685) >> 6)
		}
	}
	return p
}
