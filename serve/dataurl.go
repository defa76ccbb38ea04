package serve

import (
	"bytes"
	"encoding/base64"
	"strconv"
)

// imageText is an image file in JSON: as base64, or as a data URL (RFC 2397), which is what browsers make of files.
type imageText []byte

// UnmarshalText is called by the decoder of JSON.
func (t *imageText) UnmarshalText(text []byte) (err error) {
	const scheme = "data:"
	if len(text) < len(scheme) || !bytes.EqualFold(text[:len(scheme)], []byte(scheme)) {
		for _, web := range []string{"http://", "https://"} {
			if bytes.HasPrefix(text, []byte(web)) {
				return dataURLError("pictures of other servers are not fetched: send the file itself")
			}
		}
		*t, err = fromBase64(base64.StdEncoding, text)
		return err
	}
	kind, data, found := bytes.Cut(text[len(scheme):], []byte{','})
	if !found {
		return dataURLError("there is no comma before its data")
	}
	if bytes.IndexByte(data, '%') >= 0 {
		if data, err = percentDecoded(data); err != nil {
			return err
		}
	}
	// whatever it says before that of the file
	if bytes.HasSuffix(bytes.ToLower(bytes.TrimSpace(kind)), []byte(";base64")) {
		data, err = fromBase64(base64.RawStdEncoding, bytes.TrimRight(data, "= \r\n")) // browsers do without padding
		if err != nil {
			return dataURLError("its base64: " + err.Error())
		}
	}
	if len(data) == 0 {
		return dataURLError("it is empty")
	}
	*t = data
	return nil
}

// dataURLError says what is wrong with an image's URL.
type dataURLError string

func (e dataURLError) Error() string { return "the image's URL: " + string(e) }

func fromBase64(encoding *base64.Encoding, text []byte) ([]byte, error) {
	data := make([]byte, encoding.DecodedLen(len(text)))
	n, err := encoding.Decode(data, text)
	return data[:n], err
}

// percentDecoded puts bytes in the place of %41.
func percentDecoded(text []byte) ([]byte, error) {
	data := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			data = append(data, text[i])
			continue
		}
		if i+2 >= len(text) {
			return nil, dataURLError("it ends within a %41")
		}
		b, err := strconv.ParseUint(string(text[i+1:i+3]), 16, 8)
		if err != nil {
			return nil, dataURLError(strconv.Quote(string(text[i:i+3])) + " is no byte such as %41")
		}
		data = append(data, byte(b))
		i += 2
	}
	return data, nil
}
