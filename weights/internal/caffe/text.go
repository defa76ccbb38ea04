package caffe

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/vggo/vggo/weights/internal/format"
	"github.com/vggo/vggo/weights/internal/proto"
)

// maxPrototxt bounds a text; that of GoogLeNet has 36 KB.
const maxPrototxt = 1 << 20

// layerStart is how a layer begins in a network's text.
var layerStart = regexp.MustCompile(`(?m)^\s*layers?\s*:?\s*[{<]\s*(#.*\s*)*\w+\s*[:{<]`)

// isPrototxt knows a network's text by its first layer, where no file of another form has such a line.
func isPrototxt(data []byte) bool {
	return len(data) <= maxPrototxt && data[0] != '{' && layerStart.Match(data)
}

// parse reads the text form of a message (protobuf.dev/reference/protobuf/textformat-spec), whatever its fields.
func parse(data []byte) (proto.Message, error) {
	if len(data) > maxPrototxt {
		return nil, format.Fail(0, "a text of %d bytes: the most is %d", len(data), maxPrototxt)
	}
	p := &parser{data: string(data)}
	m, err := p.message("", 0)
	if err != nil {
		return nil, format.Fail(int64(p.at), "%v", err)
	}
	return m, nil
}

type parser struct {
	data string
	at   int
}

// token takes the next sign, word or number, or the opening quotation mark of a text; empty at the end.
func (p *parser) token() string {
	for p.at < len(p.data) {
		switch c := p.data[p.at]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			p.at++
			continue
		case c == '#':
			if end := strings.IndexByte(p.data[p.at:], '\n'); end >= 0 {
				p.at += end
				continue
			}
			p.at = len(p.data)
			return ""
		case isWordByte(c):
			from := p.at
			for p.at < len(p.data) && isWordByte(p.data[p.at]) {
				p.at++
			}
			return p.data[from:p.at]
		default:
			p.at++
			return string(c)
		}
	}
	return ""
}

func isWordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_.+-", c) >= 0
}

// message reads fields up to the sign that ends it; empty: the text's end.
func (p *parser) message(end string, depth int) (proto.Message, error) {
	if depth > proto.MaxNesting {
		return nil, fmt.Errorf("messages lie more than %d deep in each other", proto.MaxNesting)
	}
	m := proto.Message{}
	for {
		name := p.token()
		switch {
		case name == end:
			return m, nil
		case name == "" || !isWordByte(name[0]):
			return nil, fmt.Errorf("a field's name is expected, not %q", name)
		}
		sign := p.token()
		if sign == ":" {
			sign = p.token()
		} else if sign != "{" && sign != "<" {
			return nil, fmt.Errorf("field %q has no value", format.Clip(name))
		}
		if sign != "[" {
			v, err := p.value(sign, depth)
			if err != nil {
				return nil, fmt.Errorf("field %q: %w", format.Clip(name), err)
			}
			m[name] = append(m[name], v)
		} else {
			for sign != "]" {
				v, err := p.value(p.token(), depth)
				if err != nil {
					return nil, fmt.Errorf("field %q: %w", format.Clip(name), err)
				}
				m[name] = append(m[name], v)
				if sign = p.token(); sign != "," && sign != "]" {
					return nil, fmt.Errorf("field %q: a list that does not end", format.Clip(name))
				}
			}
		}
		at := p.at
		if sign := p.token(); sign != "," && sign != ";" { // fields may be parted by these
			p.at = at
		}
	}
}

// value reads one that begins with a token.
func (p *parser) value(first string, depth int) (proto.Value, error) {
	switch {
	case first == "{" || first == "<":
		end := map[string]string{"{": "}", "<": ">"}[first]
		m, err := p.message(end, depth+1)
		return proto.Value{Message: m}, err
	case first == `"` || first == "'":
		from := p.at
		for p.at < len(p.data) && p.data[p.at] != first[0] && p.data[p.at] != '\n' {
			if p.data[p.at] == '\\' {
				p.at++
			}
			p.at++
		}
		if p.at >= len(p.data) || p.data[p.at] != first[0] {
			return proto.Value{}, fmt.Errorf("a text that does not end")
		}
		s := p.data[from:p.at]
		p.at++
		return proto.Value{Text: s}, nil
	case first == "" || !isWordByte(first[0]):
		return proto.Value{}, fmt.Errorf("a value is expected, not %q", first)
	}
	v := proto.Value{Text: first}
	if first == "true" {
		v.Number = 1
	} else if n, err := strconv.ParseFloat(strings.TrimSuffix(first, "f"), 64); err == nil {
		v.Number = n
	}
	return v, nil
}
