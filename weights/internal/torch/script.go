package torch

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/vggo/vggo/arch"
	"github.com/vggo/vggo/internal/pickle"
	"github.com/vggo/vggo/weights/internal/format"
)

// script is a TorchScript archive's program: a file of Python's syntax for each of Python's modules, with the settings
// of a module as constants of its class. Nothing of it is run. Of its functions the plainest are understood: those that
// hand their argument from one module to the next.
type script map[string]*class // by its name

// class is what is read of one.
type class struct {
	constants map[string]any
	forward   string // its function of this name and what follows; empty where that is long
}

// maxProgram bounds the program before it is uncompressed, maxForward a function, which may be followed many times.
const (
	maxProgram = 4 << 20
	maxForward = 1 << 14
)

// readScript collects the classes of an archive.
func readScript(members map[string]format.Member, prefix string) (script, error) {
	list := script{}
	left := maxProgram
	for name, m := range members {
		path, inCode := strings.CutPrefix(name, prefix+"code/")
		path, python := strings.CutSuffix(path, ".py")
		if !inCode || !python {
			continue
		}
		if left -= m.Size; left < 0 {
			return nil, format.Fail(0, "a program of more than %d bytes", maxProgram)
		}
		code, err := m.Bytes()
		if err != nil {
			return nil, err
		}
		for _, text := range strings.Split("\n"+string(code), "\nclass ")[1:] {
			name, body, _ := strings.Cut(text, "(")
			read := &class{constants: map[string]any{}}
			for _, line := range finalLine.FindAllStringSubmatch(body, -1) {
				if v, ok := literal(line[2]); ok {
					read.constants[line[1]] = v
				}
			}
			if _, after, _ := strings.Cut(body, "\n  def forward("); len(after) <= maxForward {
				read.forward = after
			}
			list[strings.ReplaceAll(path, "/", ".")+"."+name] = read
		}
	}
	return list, nil
}

var finalLine = regexp.MustCompile(`(?m)^  (\w+) : Final\[[^=\n]*\] = (.*)$`)

// constant is a setting of a class.
func (s script) constant(of, name string) (v any, ok bool) {
	if c := s[of]; c != nil {
		v, ok = c.constants[name]
	}
	return v, ok
}

// literal is a number, a truth value, a text or a pair of numbers.
func literal(s string) (any, bool) {
	switch s {
	case "None":
		return nil, true
	case "True", "False":
		return s == "True", true
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	if x, err := strconv.ParseFloat(s, 64); err == nil {
		return x, true
	}
	if t, err := strconv.Unquote(s); err == nil {
		return t, true
	}
	inside := strings.TrimSuffix(strings.TrimPrefix(s, "("), ")")
	if len(inside) != len(s)-2 {
		return nil, false
	}
	var list pickle.Tuple
	for _, part := range strings.Split(inside, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
		if err != nil {
			return nil, false
		}
		list = append(list, n)
	}
	return list, true
}

var (
	forwardHead = regexp.MustCompile(`(?s)^\w+: [\w.]+,\s*(\w+): Tensor\) -> Tensor:\n(.*)`)
	assignment  = regexp.MustCompile(`^(\w+) = (.*)$`)
	partOf      = regexp.MustCompile(`^(?:\w+\.(\w+)|getattr\(\w+, "(\w+)"\))$`)
	callOf      = regexp.MustCompile(`(?s)^\((\w+)\)\.forward\((.*?),? *\)$`)
	functionOf  = regexp.MustCompile(`(?s)^(torch\.flatten|torch\.relu|__torch__\.torch\.nn\.functional\.relu)\((.*)\)$`)
)

// forward follows a class's function forward: each value must be made of the one before by a module or a plain
// function.
func (s script) forward(of string, module func(name string) error, add func(op arch.Op)) error {
	unknown := &unknownError{className(of)}
	if s[of] == nil {
		return unknown
	}
	head := forwardHead.FindStringSubmatch(s[of].forward)
	if head == nil {
		return unknown
	}
	f := follower{parts: map[string]string{}, value: head[1], module: module, add: add}
	body, _, _ := strings.Cut(head[2], "\n  def ")
	for _, line := range strings.Split(strings.TrimRight(body, "\n"), "\n") {
		line = strings.TrimSpace(line)
		if result, ok := strings.CutPrefix(line, "return "); ok {
			ok, err := f.follow(result, 0)
			if err == nil && !ok {
				err = unknown
			}
			return err
		}
		a := assignment.FindStringSubmatch(line)
		if a == nil {
			return unknown
		}
		if p := partOf.FindStringSubmatch(a[2]); p != nil {
			f.parts[a[1]] = p[1] + p[2]
			continue
		}
		ok, err := f.follow(a[2], 0)
		if err != nil {
			return err
		}
		if !ok {
			return unknown
		}
		f.value = a[1]
	}
	return unknown
}

// follower goes along a function.
type follower struct {
	parts  map[string]string // variables that are modules
	value  string            // the variable that the next expression must read
	module func(name string) error
	add    func(op arch.Op)
}

// follow adds what an expression computes of the value; ok is false where it is none that is understood.
func (f *follower) follow(e string, depth int) (ok bool, err error) {
	switch {
	case depth > maxNested:
		return false, fmt.Errorf("an expression of more than %d calls in each other", maxNested)
	case e == f.value:
		f.value = ""
		return true, nil
	}
	if m := callOf.FindStringSubmatch(e); m != nil && f.parts[m[1]] != "" {
		if ok, err = f.follow(m[2], depth+1); ok {
			err = f.module(f.parts[m[1]])
		}
		return ok, err
	}
	m := functionOf.FindStringSubmatch(e)
	if m == nil {
		return false, nil
	}
	inner, arguments, _ := cutLast(m[2])
	switch {
	case m[1] == "torch.flatten" && arguments == "1":
		if ok, err = f.follow(inner, depth+1); ok {
			f.add(arch.Flatten{})
		}
		return ok, err
	case m[1] == "torch.relu" && arguments == "":
		if ok, err = f.follow(m[2], depth+1); ok {
			f.add(arch.ReLU{})
		}
		return ok, err
	}
	return false, nil
}

// cutLast parts arguments at the last comma that stands in no bracket.
func cutLast(arguments string) (before, last string, ok bool) {
	depth := 0
	for i := len(arguments) - 1; i >= 0; i-- {
		switch arguments[i] {
		case ')', ']':
			depth++
		case '(', '[':
			depth--
		case ',':
			if depth == 0 {
				return strings.TrimSpace(arguments[:i]), strings.TrimSpace(arguments[i+1:]), true
			}
		}
	}
	return arguments, "", false
}
