package format

import (
	"bytes"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxLooked bounds the fields that are looked at to know a file.
const maxLooked = 64

// Fields walks a protocol buffer's first fields, those with bytes in them: texts and messages. It ends where the bytes
// are none.
func Fields(data []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for range maxLooked {
			number, kind, n := protowire.ConsumeTag(data)
			if n < 0 {
				return
			}
			data = data[n:]
			size := protowire.ConsumeFieldValue(number, kind, data)
			if size < 0 {
				return
			}
			if kind == protowire.BytesType {
				if value, _ := protowire.ConsumeBytes(data); !yield(int(number), value) {
					return
				}
			}
			data = data[size:]
		}
	}
}

// HasTexts reports whether a message has plain text in each of some fields.
func HasTexts(data []byte, fields ...int) bool {
	has := map[int]bool{}
	for field, value := range Fields(data) {
		has[field] = len(value) > 0 && !bytes.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' })
	}
	for _, f := range fields {
		if !has[f] {
			return false
		}
	}
	return true
}
